"""The `documents` shape: one superset of Cohere v1 and v2, Jina and Voyage, and this service's own fields."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from service.errors import ServiceError
from service.ranking import Mode, Ranked, Ranking, RerankCall
from service.wire.documents import check_echo, echo, passage
from service.wire.fields import Count, Documents, NonBlank, PositiveCount, WireBody, read_fields, results_wanted

_LAST_PRIORITY = 2
_DOCUMENTS_PER_SEARCH_UNIT = 100  # Cohere's unit of billing, by which some clients count their use


def _distinct(names: list[str]) -> list[str]:
    """Each key once: a document's text must not grow beyond the document."""
    if len(set(names)) < len(names):
        raise ValueError("names a key twice")
    return names


class CohereBody(WireBody):
    """Query and documents, as Cohere's, Jina's and Voyage's clients send them. Unknown fields are ignored."""

    query: NonBlank
    documents: Documents = Field(description="Strings, or objects whose `text` or `rank_fields` are scored.")
    model: str | None = Field(None, description="The served name or one of its aliases.")
    top_n: Count | None = Field(None, description="How many results to return; 0 or absent: all.")
    top_k: Count | None = Field(None, description="Voyage's name of `top_n`; adds `data` to the answer.")
    return_documents: bool | None = Field(None, description="Whether results carry their document; default false.")
    rank_fields: Annotated[list[str], Field(max_length=100), AfterValidator(_distinct)] | None = Field(
        None, description="The keys of object documents that are scored."
    )
    max_tokens_per_doc: Count | None = Field(None, description="Documents are cut to this; 0: the server's limit.")
    truncation: bool | None = Field(None, description="Voyage's: false refuses documents that do not fit.")
    priority: Count | None = Field(None, description="0 first, 1, 2 and above last; never before the key's own class.")
    mode: Literal["direct", "reasoning"] | None = Field(None, description="Default: the server's.")
    instruction: NonBlank | None = Field(None, description="What counts as relevant here.")
    max_reasoning_tokens: PositiveCount | None = Field(None, description="Trace budget per document.")
    return_reasoning: bool | None = Field(None, description="Whether results carry their trace.")


@dataclass(frozen=True, slots=True)
class CohereRequest:
    """A valid body of this shape. `label` is `voyage` when only Voyage's SDK would have sent it, else `cohere`."""

    call: RerankCall
    label: str
    return_documents: bool
    api_version: str

    def answer(self, ranking: Ranking) -> dict[str, Any]:
        """The superset of Cohere's and Jina's answers, with Voyage's `data` where its client reads it."""
        body: dict[str, Any] = {
            "id": ranking.id,
            "object": "rerank",
            "model": ranking.model,
            "results": [self._result(ranked) for ranked in ranking.results],
            "usage": _usage(ranking),
            "meta": self._meta(ranking),
        }
        if self.label == "voyage":
            body |= {"object": "list", "data": [self._voyage_result(ranked) for ranked in ranking.results]}
        return body

    def _result(self, ranked: Ranked) -> dict[str, Any]:
        result: dict[str, Any] = {"index": ranked.index, "relevance_score": ranked.relevance}
        if self.return_documents:  # an object, and no key rather than null: what every client read can take
            result["document"] = echo(self.call.documents[ranked.index], self.call.passages[ranked.index])
        if ranked.reasoning is not None:
            trace = ranked.reasoning
            result["reasoning"] = {"text": trace.text, "status": trace.status.value, "tokens": trace.tokens}
        return result

    def _voyage_result(self, ranked: Ranked) -> dict[str, Any]:
        result: dict[str, Any] = {"index": ranked.index, "relevance_score": ranked.relevance}
        if self.return_documents:
            result["document"] = self.call.passages[ranked.index]
        return result

    def _meta(self, ranking: Ranking) -> dict[str, Any]:
        tokens = {"input_tokens": ranking.prompt_tokens, "output_tokens": ranking.reasoning_tokens}
        units = math.ceil(len(self.call.passages) / _DOCUMENTS_PER_SEARCH_UNIT)
        meta: dict[str, Any] = {
            "api_version": {"version": self.api_version},
            "billed_units": {"search_units": units, **tokens},
            "tokens": tokens,
            "cached_tokens": ranking.cached_tokens,
        }
        return meta | {"warnings": list(ranking.warnings)} if ranking.warnings else meta


def read(data: dict[str, Any], path: str) -> CohereRequest:
    """The request in a body with `documents`. Raises BadRequest naming the field that does not fit."""
    body = read_fields(CohereBody, data)
    voyage = "top_k" in data or "truncation" in data  # its SDK sends both always, null too, and reads `data`
    return CohereRequest(
        call=_call(body),
        label="voyage" if voyage else "cohere",
        return_documents=bool(body.return_documents),
        api_version="2" if path.startswith("/v2/") else "1",
    )


def error_body(error: ServiceError, request_id: str | None) -> tuple[int, dict[str, Any]]:
    """What clients of Cohere (`message`), Jina and Voyage (`detail`) and OpenAI (`error`) look for, in one body."""
    detail = {"message": error.message, "type": _error_type(error.status), "param": error.field, "code": error.kind}
    body: dict[str, Any] = {"message": error.message, "detail": error.message, "error": detail}
    return error.status, body if request_id is None else body | {"id": request_id}


def _call(body: CohereBody) -> RerankCall:
    return RerankCall(
        query=body.query,
        passages=_passages(body.documents, body.rank_fields),
        documents=_returned(body.documents) if body.return_documents else (),
        model=body.model,
        top_n=results_wanted(body.top_n, body.top_k),
        mode=None if body.mode is None else Mode(body.mode),
        instruction=body.instruction,
        max_reasoning_tokens=body.max_reasoning_tokens,
        return_reasoning=bool(body.return_reasoning),
        max_tokens_per_doc=body.max_tokens_per_doc or None,
        truncate=body.truncation is not False,
        priority=None if body.priority is None else min(body.priority, _LAST_PRIORITY),
    )


def _passages(documents: Sequence[str | dict[str, Any]], rank_fields: list[str] | None) -> tuple[str, ...]:
    return tuple(
        document if isinstance(document, str) else passage(document, rank_fields, f"documents[{index}]")
        for index, document in enumerate(documents)
    )


def _returned(documents: Sequence[str | dict[str, Any]]) -> tuple[str | dict[str, Any], ...]:
    for index, document in enumerate(documents):
        check_echo(document, f"documents[{index}]")
    return tuple(documents)


def _usage(ranking: Ranking) -> dict[str, int]:
    return {
        "prompt_tokens": ranking.prompt_tokens,
        "completion_tokens": ranking.reasoning_tokens,
        "total_tokens": ranking.prompt_tokens + ranking.reasoning_tokens,
        "cached_tokens": ranking.cached_tokens,
    }


def _error_type(status: int) -> str:
    names = {
        401: "authentication_error",
        404: "not_found_error",
        429: "rate_limit_error",
        503: "service_unavailable_error",
        504: "timeout_error",
    }
    return names.get(status, "server_error" if status >= 500 else "invalid_request_error")
