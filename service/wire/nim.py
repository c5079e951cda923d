"""The `passages` shape of NVIDIA's reranking NIM: rankings with logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired

from pydantic import FailFast, Field
from typing_extensions import TypedDict

from service.ranking import Ranking, RerankCall
from service.wire.fields import Count, NonBlank, WireBody, closed, read_fields, results_wanted
from service.wire.first_stage import FirstStageBody


class NimQuery(WireBody):
    text: NonBlank


class NimPassage(WireBody):
    text: str


class NimBody(FirstStageBody):
    """Query and passages, as clients of NVIDIA's reranking NIM send them. Unknown fields are ignored."""

    query: NimQuery
    passages: Annotated[list[NimPassage], Field(min_length=1), FailFast()]
    model: str | None = Field(None, description="The served name or one of its aliases.")
    truncate: Literal["NONE", "END"] | None = Field(
        None, description="NONE refuses passages that do not fit; default END: their end is dropped."
    )
    top_n: Count | None = Field(None, description="How many rankings to return; 0 or absent: all.")
    top_k: Count | None = Field(None, description="Another name of `top_n`, sent by some gateways.")


@closed
class NimRanking(TypedDict):
    index: int
    logit: Annotated[float, Field(description="Log-odds.")]


@closed
class NimUsage(TypedDict):
    prompt_tokens: int
    total_tokens: int


@closed
class NimMeta(TypedDict):
    warnings: list[str]


@closed
class NimAnswer(TypedDict):
    """Best first, ties by index."""

    rankings: list[NimRanking]
    usage: NimUsage
    meta: NotRequired[Annotated[NimMeta, Field(description="Absent when there is nothing to say.")]]


@dataclass(frozen=True, slots=True)
class NimRequest:
    """A valid body of this shape."""

    call: RerankCall
    label: str = "nim"

    def answer(self, ranking: Ranking) -> NimAnswer:
        answer: NimAnswer = {
            "rankings": [{"index": ranked.index, "logit": ranked.log_odds} for ranked in ranking.results],
            "usage": {
                "prompt_tokens": ranking.prompt_tokens,
                "total_tokens": ranking.prompt_tokens + ranking.reasoning_tokens,
            },
        }
        if ranking.warnings:
            answer["meta"] = {"warnings": list(ranking.warnings)}
        return answer


def read(data: dict[str, Any]) -> NimRequest:
    """Reads a body with `passages`. Raises BadRequest naming the field that does not fit."""
    body = read_fields(NimBody, data)
    passages = tuple(passage.text for passage in body.passages)
    call = RerankCall(
        query=body.query.text,
        passages=passages,
        documents=passages,
        model=body.model,
        top_n=results_wanted(body.top_n, body.top_k),
        truncate=body.truncate != "NONE",
        first_stage=body.first_stage(len(passages)),
    )
    return NimRequest(call)
