"""The answers of all shapes as types: what the OpenAPI page shows and the tests check answers against.

Answers are built as plain dictionaries, for speed; these models run in no request.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from contract.reasoning import Status


class Answer(BaseModel):
    """Base: a field that no type names here is a fault."""

    model_config = ConfigDict(extra="forbid")


class Document(BaseModel):
    """The document as it was sent: its `text`, and the further keys of an object."""

    model_config = ConfigDict(extra="allow")

    text: str


class Trace(Answer):
    text: str
    status: Status = Field(description="How the trace ended.")
    tokens: int


class Result(Answer):
    index: int = Field(description="Position in the request's documents.")
    relevance_score: float = Field(ge=0, le=1)
    document: Document | None = Field(None, description="Absent, never null, unless asked for.")
    reasoning: Trace | None = Field(None, description="Absent, never null, unless asked for.")


class VoyageResult(Answer):
    index: int
    relevance_score: float = Field(ge=0, le=1)
    document: str | None = Field(None, description="Absent, never null, unless asked for.")


class Usage(Answer):
    """Every prompt in full; `cached_tokens` of them were not computed again."""

    prompt_tokens: int
    completion_tokens: int = Field(description="Tokens of the traces.")
    total_tokens: int
    cached_tokens: int


class Tokens(Answer):
    input_tokens: int
    output_tokens: int


class BilledUnits(Tokens):
    search_units: int = Field(description="One per 100 documents begun, as Cohere counts.")


class ApiVersion(Answer):
    version: str


class Meta(Answer):
    api_version: ApiVersion
    billed_units: BilledUnits
    tokens: Tokens
    cached_tokens: int
    warnings: list[str] | None = Field(None, description="Absent when there is nothing to say.")


class CohereAnswer(Answer):
    """Best first, ties by index."""

    id: str
    object: str = Field(description="`rerank`; `list` beside `data`.")
    model: str
    results: list[Result]
    usage: Usage
    meta: Meta
    data: list[VoyageResult] | None = Field(None, description="Only when `top_k` or `truncation` was sent.")


class TeiResult(Answer):
    index: int
    score: float
    text: str | None = Field(None, description="Absent, never null, unless asked for.")


class NimRanking(Answer):
    index: int
    logit: float = Field(description="Log-odds.")


class NimUsage(Answer):
    prompt_tokens: int
    total_tokens: int


class NimMeta(Answer):
    warnings: list[str]


class NimAnswer(Answer):
    """Best first, ties by index."""

    rankings: list[NimRanking]
    usage: NimUsage
    meta: NimMeta | None = Field(None, description="Absent when there is nothing to say.")


class ErrorDetail(Answer):
    message: str
    type: str
    param: str | None = Field(description="The field to mend.")
    code: str


class Error(Answer):
    """What clients of Cohere (`message`), Jina and Voyage (`detail`) and OpenAI (`error`) read, in one body."""

    message: str
    detail: str
    error: ErrorDetail
    id: str | None = None


class TeiError(Answer):
    """The error of a body with `texts`."""

    error: str
    error_type: str


class Model(Answer):
    id: str
    object: str
    created: int = Field(description="Seconds since 1970.")
    owned_by: str
    max_model_len: int


class ModelList(Answer):
    object: str
    data: list[Model]
