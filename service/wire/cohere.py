"""The `documents` shape: one superset of Cohere v1 and v2, Jina and Voyage, and this service's own fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from service.ranking import LongDocuments, Mode, Ranking, RerankCall, SpansWanted
from service.wire.cohere_answer import CohereAnswer, build_answer
from service.wire.documents import kept, passage
from service.wire.fields import Count, Documents, NonBlank, PositiveCount, Switch, WireBody, read_fields, results_wanted
from service.wire.first_stage import FirstStageBody
from service.wire.threshold import ThresholdBody

_LAST_PRIORITY = 2
_SPAN_THRESHOLD = 0.1  # Cohere's default


def _distinct(names: list[str]) -> list[str]:
    """Refuses repeated keys: a document's text must not grow beyond the document."""
    if len(set(names)) < len(names):
        raise ValueError("names a key twice")
    return names


class SpansBody(WireBody):
    """Cohere's `relevant_spans`: which sentences of each document are returned with their scores."""

    mode: Literal["enabled", "disabled"]
    threshold: Annotated[float, Field(ge=0, le=1)] | None = Field(None, description="Default 0.1.")
    max_spans: PositiveCount | None = Field(None, description="Of each document, the best; default: all.")


class CohereBody(ThresholdBody, FirstStageBody):
    """Query and documents, as Cohere's, Jina's and Voyage's clients send them. Unknown fields are ignored."""

    query: NonBlank
    documents: Documents = Field(description="Strings, or objects whose `text` or `rank_fields` are scored.")
    model: str | None = Field(None, description="The served name or one of its aliases.")
    top_n: Count | None = Field(None, description="How many results to return; 0 or absent: all.")
    top_k: Count | None = Field(None, description="Voyage's name of `top_n`; adds `data` to the answer.")
    return_documents: Switch | None = Field(None, description="Whether results carry their document; default false.")
    rank_fields: Annotated[list[str], Field(max_length=100), AfterValidator(_distinct)] | None = Field(
        None, description="The keys of object documents that are scored."
    )
    max_tokens_per_doc: Count | None = Field(None, description="Documents are cut to this; 0: the server's limit.")
    truncation: Switch | None = Field(None, description="Voyage's: false refuses documents that do not fit.")
    priority: Count | None = Field(None, description="0 first, 1, 2 and above last; never before the key's own class.")
    mode: Literal["direct", "reasoning", "adaptive"] | None = Field(None, description="Default: the server's.")
    instruction: NonBlank | None = Field(None, description="What counts as relevant here.")
    max_reasoning_tokens: PositiveCount | None = Field(None, description="Trace budget per document.")
    reasoning_budget: Count | None = Field(
        None,
        description="Adaptive mode: most tokens of all traces and probes of the call; default: the server's.",
    )
    return_reasoning: Switch | None = Field(None, description="Whether results carry their trace.")
    return_probes: PositiveCount | None = Field(
        None, description="Reasoning mode: the verdict is read behind every so many tokens too; results carry `probes`."
    )
    return_label_mass: Switch | None = Field(
        None, description="Whether results say how much of the probability is on the answer words."
    )
    long_documents: Literal["truncate", "chunk"] | None = Field(
        None, description="`chunk` reads documents in windows; the best one counts. Default: the server's."
    )
    max_chunks_per_doc: Count | None = Field(
        None, description="How many windows of a document are read, where it is read in windows; 0 or absent: all."
    )
    relevant_spans: SpansBody | None = Field(None, description="Whether results carry their best sentences.")
    stream: Switch | None = Field(None, description="Whether the answer is streamed; default: as Accept asks.")


@dataclass(frozen=True, slots=True)
class CohereRequest:
    """A valid body of this shape. `label` is `voyage` when only Voyage's SDK would have sent it, else `cohere`."""

    call: RerankCall
    label: str
    return_documents: bool
    api_version: str
    stream: bool | None = None

    def answer(self, ranking: Ranking) -> CohereAnswer:
        return build_answer(
            self.call,
            ranking,
            voyage=self.label == "voyage",
            return_documents=self.return_documents,
            api_version=self.api_version,
        )


def read(data: dict[str, Any], path: str) -> CohereRequest:
    """Reads a body with `documents`. Raises BadRequest naming the field that does not fit."""
    body = read_fields(CohereBody, data)
    voyage = "top_k" in data or "truncation" in data  # its SDK always sends both, even if null, and reads `data`
    return CohereRequest(
        call=_call(body, data["documents"]),
        label="voyage" if voyage else "cohere",
        return_documents=bool(body.return_documents),
        api_version="2" if path.startswith("/v2/") else "1",
        stream=body.stream,
    )


def _call(body: CohereBody, sent: Sequence[str | dict[str, Any]]) -> RerankCall:
    """`sent`: the documents as they came."""
    passages = _passages(body.documents, body.rank_fields)
    return RerankCall(
        query=body.query,
        passages=passages,
        documents=_returned(sent, passages) if body.return_documents else (),
        model=body.model,
        top_n=results_wanted(body.top_n, body.top_k),
        mode=None if body.mode is None else Mode(body.mode),
        instruction=body.instruction,
        max_reasoning_tokens=body.max_reasoning_tokens,
        return_reasoning=bool(body.return_reasoning),
        return_label_mass=bool(body.return_label_mass),
        reasoning_budget=body.reasoning_budget,
        return_probes=body.return_probes,
        max_tokens_per_doc=body.max_tokens_per_doc or None,
        truncate=body.truncation is not False,
        priority=None if body.priority is None else min(body.priority, _LAST_PRIORITY),
        long_documents=None if body.long_documents is None else LongDocuments(body.long_documents),
        max_chunks_per_doc=body.max_chunks_per_doc or None,
        spans=_spans(body.relevant_spans),
        min_score=body.least_score(),
        first_stage=body.first_stage(len(passages)),
    )


def _spans(body: SpansBody | None) -> SpansWanted | None:
    if body is None or body.mode == "disabled":
        return None
    return SpansWanted(_SPAN_THRESHOLD if body.threshold is None else body.threshold, body.max_spans)


def _passages(documents: Sequence[str | dict[str, Any]], rank_fields: list[str] | None) -> tuple[str, ...]:
    return tuple(
        document if isinstance(document, str) else passage(document, rank_fields, f"documents[{index}]")
        for index, document in enumerate(documents)
    )


def _returned(documents: Sequence[str | dict[str, Any]], passages: Sequence[str]) -> tuple[str | bytes, ...]:
    return tuple(kept(document, passages[index], f"documents[{index}]") for index, document in enumerate(documents))
