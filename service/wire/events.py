"""The events of a streamed answer of the `documents` shape; docs/streaming.md describes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from service.ranking import Ranked, ReasoningPiece, RerankCall
from service.wire.cohere_answer import ChunkPlace, Error, Result, build_result, chunk_place
from service.wire.fields import closed


@closed
class DocumentEvent(Result):
    """A document's verdict, as its entry in `results` has it."""

    event: Literal["document"]


@closed
class ReasoningEvent(TypedDict):
    """A piece of a document's reasoning, as it was written."""

    event: Literal["reasoning"]
    index: int
    offset: Annotated[int, Field(ge=0, description="Code points of the reasoning before this piece.")]
    text: str
    tokens: Annotated[int, Field(description="Tokens written so far.")]
    chunk: NotRequired[Annotated[ChunkPlace, Field(description="Where documents are cut into chunks.")]]


@closed
class WarningEvent(TypedDict):
    event: Literal["warning"]
    message: str


@closed
class ErrorEvent(Error):
    """The call has failed after its first byte; nothing follows."""

    event: Literal["error"]
    status: Annotated[int, Field(description="The status that the call would have been answered with.")]
    retry_after: NotRequired[Annotated[int, Field(description="Seconds to wait before a retry.")]]


Event = DocumentEvent | ReasoningEvent | WarningEvent | ErrorEvent


def told_event(told: Ranked | ReasoningPiece, call: RerankCall, *, return_documents: bool) -> Mapping[str, Any]:
    """The event that a call tells while it is ranked."""
    if isinstance(told, Ranked):
        return {"event": "document", **build_result(told, call, return_documents)}
    event: ReasoningEvent = {
        "event": "reasoning",
        "index": told.index,
        "offset": told.offset,
        "text": told.text,
        "tokens": told.tokens,
    }
    if told.chunk is not None:
        event["chunk"] = chunk_place(told.chunk)
    return event


def warning_event(message: str) -> WarningEvent:
    return {"event": "warning", "message": message}


def error_event(status: int, body: Mapping[str, Any], retry_after: float | None) -> Mapping[str, Any]:
    """`status` and `body`: what the call would have been answered with."""
    retry = {} if retry_after is None else {"retry_after": max(1, math.ceil(retry_after))}
    return {"event": "error", "status": status, **body, **retry}
