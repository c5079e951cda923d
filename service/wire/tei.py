"""The `texts` shape of Hugging Face's text-embeddings-inference: a bare list, its statuses, its error body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from service.errors import (
    BadRequest,
    BodyTooLarge,
    EmptyList,
    EngineFailed,
    ServiceError,
    TooManyRequests,
    Unavailable,
)
from service.ranking import Ranked, Ranking, RerankCall
from service.wire.fields import Count, NonBlank, Switch, Texts, closed, read_fields
from service.wire.first_stage import FirstStageBody

# The first that fits counts.
_STATUSES: tuple[tuple[type[ServiceError], int, str], ...] = (
    (EmptyList, 400, "Empty"),
    (BadRequest, 422, "Validation"),
    (BodyTooLarge, 413, "Validation"),
    (TooManyRequests, 429, "Overloaded"),
    (EngineFailed, 424, "Backend"),
    (Unavailable, 503, "Unhealthy"),
)


class TeiBody(FirstStageBody):
    """Query and texts, as clients of text-embeddings-inference send them. Unknown fields are ignored."""

    query: NonBlank
    texts: Texts
    truncate: Switch | None = Field(None, description="false refuses texts that do not fit; default true.")
    truncation_direction: Literal["Left", "Right", "left", "right"] | None = Field(
        None, description="Which end of a text that does not fit is dropped; default Right."
    )
    raw_scores: Switch | None = Field(None, description="true: log-odds; default: relevance in [0, 1].")
    return_text: Switch | None = Field(None, description="Whether results carry their text; default false.")
    top_n: Count | None = Field(None, description="How many results to return; 0 or absent: all.")


@closed
class TeiResult(TypedDict):
    index: int
    score: float
    text: NotRequired[Annotated[str, Field(description="Absent, never null, unless asked for.")]]


@closed
class TeiError(TypedDict):
    """The error of a body with `texts`."""

    error: str
    error_type: str


@dataclass(frozen=True, slots=True)
class TeiRequest:
    """A valid body of this shape."""

    call: RerankCall
    raw_scores: bool
    return_text: bool
    label: str = "tei"

    def answer(self, ranking: Ranking) -> list[TeiResult]:
        """Returns one entry per text, best first; fewer only if the caller sent `top_n`."""
        return [self._result(ranked) for ranked in ranking.results]

    def _result(self, ranked: Ranked) -> TeiResult:
        score = ranked.log_odds if self.raw_scores else ranked.relevance
        result: TeiResult = {"index": ranked.index, "score": score}
        if self.return_text:
            result["text"] = self.call.passages[ranked.index]
        return result


def read(data: dict[str, Any]) -> TeiRequest:
    """Reads a body with `texts`. Raises BadRequest naming the field that does not fit."""
    body = read_fields(TeiBody, data)
    texts = tuple(body.texts)
    call = RerankCall(
        query=body.query,
        passages=texts,
        documents=texts,
        top_n=body.top_n or None,
        truncate=body.truncate is not False,
        cut_left=body.truncation_direction in ("Left", "left"),
        first_stage=body.first_stage(len(texts)),
    )
    return TeiRequest(call, raw_scores=bool(body.raw_scores), return_text=bool(body.return_text))


def error_body(error: ServiceError) -> tuple[int, TeiError]:
    """Returns TEI's status and body for `error`; an error that TEI does not have keeps the service's own status."""
    status, error_type = _status_and_type(error)
    return status, {"error": error.message, "error_type": error_type}


def _status_and_type(error: ServiceError) -> tuple[int, str]:
    if isinstance(error, Unavailable) and error.reason in ("queue_full", "deadline"):
        return 429, "Overloaded"
    for kind, status, error_type in _STATUSES:
        if isinstance(error, kind):
            return status, error_type
    return error.status, "Validation" if error.status < 500 else "Backend"
