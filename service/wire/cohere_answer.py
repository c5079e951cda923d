"""The answers of the `documents` shape: one superset for the clients of Cohere v1 and v2, Jina and Voyage."""

from __future__ import annotations

import math
from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from contract.reasoning import Status
from service.errors import ServiceError
from service.ranking import Chunk, Ranked, Ranking, RerankCall, ScoreKind, StageName
from service.wire.documents import Document, echo
from service.wire.fields import closed

_DOCUMENTS_PER_SEARCH_UNIT = 100  # Cohere's unit of billing, by which some clients count their use

Relevance = Annotated[float, Field(ge=0, le=1)]


@closed
class Trace(TypedDict):
    text: str
    status: Annotated[Status, Field(description="How the trace ended.")]
    tokens: int


@closed
class ProbeRead(TypedDict):
    tokens: Annotated[int, Field(description="Of the trace before the verdict; 0: the direct verdict.")]
    log_odds: float


@closed
class ChunkPlace(TypedDict):
    """Code points of the passage that was scored, half-open."""

    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=0)]


@closed
class RelevantSpan(TypedDict):
    """As Cohere's: code points of the passage that was scored, half-open."""

    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=0)]
    score: Relevance


@closed
class Result(TypedDict):
    index: Annotated[int, Field(description="Position in the request's documents.")]
    relevance_score: Relevance
    document: NotRequired[Annotated[Document, Field(description="Absent, never null, unless asked for.")]]
    reasoning: NotRequired[Annotated[Trace, Field(description="Absent, never null, unless asked for.")]]
    status: NotRequired[Annotated[Status, Field(description="Adaptive mode, cascades: how the score was reached.")]]
    stage: NotRequired[Annotated[StageName, Field(description="Of a cascade: which of its models gave the score.")]]
    probes: NotRequired[Annotated[list[ProbeRead], Field(description="Absent, never null, unless asked for.")]]
    label_mass: NotRequired[
        Annotated[
            Annotated[float, Field(ge=0, le=1)] | None,
            Field(
                description="Probability on all answer words; null where the model tells none. Absent unless asked for."
            ),
        ]
    ]
    chunk: NotRequired[
        Annotated[ChunkPlace, Field(description="The best window. Only where documents are read in windows.")]
    ]
    relevant_spans: NotRequired[
        Annotated[list[RelevantSpan], Field(description="Best first. Only if asked for, and where there is one.")]
    ]
    cached: NotRequired[
        Annotated[Literal[True], Field(description="The score was known from an earlier call. Absent otherwise.")]
    ]


@closed
class VoyageResult(TypedDict):
    index: int
    relevance_score: Relevance
    document: NotRequired[Annotated[str, Field(description="Absent, never null, unless asked for.")]]


@closed
class Usage(TypedDict):
    """Every prompt in full; `cached_tokens` of them were not computed again."""

    prompt_tokens: int
    completion_tokens: Annotated[int, Field(description="Tokens of the traces and of probes within them.")]
    total_tokens: int
    cached_tokens: int


@closed
class Tokens(TypedDict):
    input_tokens: int
    output_tokens: int


@closed
class BilledUnits(Tokens):
    search_units: Annotated[int, Field(description="One per 100 documents begun, as Cohere counts.")]


@closed
class ApiVersion(TypedDict):
    version: str


@closed
class AdaptiveMeta(TypedDict):
    """What adaptive mode did."""

    probes: Annotated[int, Field(description="Verdicts read in the middle of a trace.")]
    rounds: Annotated[int, Field(description="Waves of traces.")]
    reasoned: Annotated[int, Field(description="Documents with a trace.")]
    undecided: Annotated[int, Field(description="Documents that may be in the top or not, as far as is known.")]


@closed
class Meta(TypedDict):
    api_version: ApiVersion
    billed_units: BilledUnits
    tokens: Tokens
    cached_tokens: int
    score_kind: Annotated[ScoreKind, Field(description="What the scores are, see docs/models.md.")]
    adaptive: NotRequired[Annotated[AdaptiveMeta, Field(description="Adaptive mode only.")]]
    warnings: NotRequired[Annotated[list[str], Field(description="Absent when there is nothing to say.")]]
    below_min_score: NotRequired[
        Annotated[int, Field(description="Results left out by `min_score`; absent unless it was sent.")]
    ]


@closed
class CohereAnswer(TypedDict):
    """Best first, ties by index."""

    id: str
    object: Annotated[str, Field(description="`rerank`; `list` beside `data`.")]
    model: str
    results: list[Result]
    usage: Usage
    meta: Meta
    data: NotRequired[Annotated[list[VoyageResult], Field(description="Only when `top_k` or `truncation` was sent.")]]


@closed
class ErrorDetail(TypedDict):
    message: str
    type: str
    param: Annotated[str | None, Field(description="The field to mend.")]
    code: str


@closed
class Error(TypedDict):
    """What clients of Cohere (`message`), Jina and Voyage (`detail`) and OpenAI (`error`) read, in one body."""

    message: str
    detail: str
    error: ErrorDetail
    id: NotRequired[str]


def build_answer(
    call: RerankCall, ranking: Ranking, *, voyage: bool, return_documents: bool, api_version: str
) -> CohereAnswer:
    """Returns the answer; with Voyage's `data` if `voyage`, and with the documents that results stand for if asked."""
    answer: CohereAnswer = {
        "id": ranking.id,
        "object": "list" if voyage else "rerank",
        "model": ranking.model,
        "results": [build_result(ranked, call, return_documents) for ranked in ranking.results],
        "usage": _usage(ranking),
        "meta": _meta(ranking, len(call.passages), api_version),
    }
    if voyage:
        answer["data"] = [_voyage_result(ranked, call, return_documents) for ranked in ranking.results]
    return answer


def error_body(error: ServiceError, request_id: str | None) -> tuple[int, Error]:
    """Returns status and body of `error`."""
    detail: ErrorDetail = {
        "message": error.message,
        "type": _error_type(error.status),
        "param": error.field,
        "code": error.kind,
    }
    body: Error = {"message": error.message, "detail": error.message, "error": detail}
    if request_id is not None:
        body["id"] = request_id
    return error.status, body


def chunk_place(chunk: Chunk) -> ChunkPlace:
    return {"start": chunk.start, "end": chunk.end}


def build_result(ranked: Ranked, call: RerankCall, return_document: bool) -> Result:
    """Returns a document's entry in `results`."""
    result: Result = {"index": ranked.index, "relevance_score": ranked.relevance}
    if return_document:  # always an object, and no key rather than null: every client accepts both
        result["document"] = echo(call.documents[ranked.index])
    if ranked.reasoning is not None:
        trace = ranked.reasoning
        result["reasoning"] = {"text": trace.text, "status": trace.status, "tokens": trace.tokens}
    if ranked.says_status:
        result["status"] = ranked.status
    if ranked.stage is not None:
        result["stage"] = ranked.stage
    if ranked.probes is not None:
        result["probes"] = [{"tokens": probe.tokens, "log_odds": probe.log_odds} for probe in ranked.probes]
    if call.return_label_mass:
        result["label_mass"] = ranked.label_mass
    if ranked.chunk is not None:
        result["chunk"] = chunk_place(ranked.chunk)
    if ranked.spans:
        result["relevant_spans"] = [{"start": s.start, "end": s.end, "score": s.score} for s in ranked.spans]
    if ranked.cached:
        result["cached"] = True
    return result


def _voyage_result(ranked: Ranked, call: RerankCall, return_document: bool) -> VoyageResult:
    result: VoyageResult = {"index": ranked.index, "relevance_score": ranked.relevance}
    if return_document:
        result["document"] = call.passages[ranked.index]
    return result


def _meta(ranking: Ranking, documents: int, api_version: str) -> Meta:
    tokens: Tokens = {"input_tokens": ranking.prompt_tokens, "output_tokens": ranking.reasoning_tokens}
    meta: Meta = {
        "api_version": {"version": api_version},
        "billed_units": {"search_units": math.ceil(documents / _DOCUMENTS_PER_SEARCH_UNIT), **tokens},
        "tokens": tokens,
        "cached_tokens": ranking.cached_tokens,
        "score_kind": ranking.score_kind,
    }
    if (use := ranking.adaptive) is not None:
        meta["adaptive"] = {
            "probes": use.probes,
            "rounds": use.rounds,
            "reasoned": use.reasoned,
            "undecided": use.undecided,
        }
    if ranking.warnings:
        meta["warnings"] = list(ranking.warnings)
    if ranking.below_min_score is not None:
        meta["below_min_score"] = ranking.below_min_score
    return meta


def _usage(ranking: Ranking) -> Usage:
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
