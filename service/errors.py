"""The errors of the service, in two trees: what a request is answered with, and why the server does not start.

ServiceError                      one leaf per cause, each with its HTTP status
|-- BadRequest 400
|   |-- EmptyList 400             documents, texts or passages without a single item
|   |-- FixedPartsTooLong 400     query and instruction alone exceed the model's length
|   `-- PassageTooLong 400        a passage does not fit and the caller forbade truncation
|-- Unauthorized 401
|-- UnknownModel 404
|-- BodyTooSlow 408               the body did not arrive in time
|-- BodyTooLarge 413              also: too many documents
|-- UnsupportedMedia 415          a body compressed in a way that is not known
|-- TooManyRequests 429           a key's own limit; carries Retry-After
|-- HeadTooLarge 431              a request's header is larger than allowed
|-- ClientLeft 499                nobody is there to read an answer
|-- EngineFailed 500              the engine failed on documents; names their indices
|-- Unavailable 503               queue full, draining, not ready; carries Retry-After
|   |-- CallCut 503               the server stopped before the call was finished
|   `-- EngineDead 503            nothing can be scored any more
`-- DeadlineExceeded 504

StartupError                      the message says what is wrong and what to do; the process exits with status 2
|-- ModelStoreError               the model cannot be found, or this engine cannot run it
|   `-- ConversionError           a GGUF file that cannot be converted
|-- UnfitModelError               --strict-model: the model does not pass the start check
|-- EngineOptionError             a flag or setting of the engine that cannot be used
|-- KeyFileError                  the key file cannot be used
`-- CannotListenError             the address cannot be bound
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Stage = Literal["queued", "running"]


class ServiceError(Exception):
    """Base of the errors of requests.

    `status` is the HTTP status, `kind` a stable machine-readable word, `field` the request field to correct,
    `retry_after` the seconds to wait before a retry. `begun`: the engine had begun to score the call that it ended.
    """

    status = 500
    kind = "internal_error"
    begun = False

    def __init__(self, message: str, *, field: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after = retry_after


class BadRequest(ServiceError):
    status = 400
    kind = "invalid_request"


class EmptyList(BadRequest):
    kind = "empty_list"


class FixedPartsTooLong(BadRequest):
    kind = "query_too_long"


class PassageTooLong(BadRequest):
    """`index` into `Job.passages`, or into the call's once the window raises it; `limit` in tokens."""

    kind = "passage_too_long"

    def __init__(self, index: int, limit: int) -> None:
        super().__init__(
            f"Document {index} has more than the {limit} tokens that are allowed, and the call forbids truncation; "
            "shorten it or allow truncation."
        )
        self.index = index
        self.limit = limit

    def of_call(self, index: int) -> PassageTooLong:
        """Returns the same error with the document's index in the whole call."""
        return PassageTooLong(index, self.limit)


class Unauthorized(ServiceError):
    status = 401
    kind = "unauthorized"


class UnknownModel(ServiceError):
    status = 404
    kind = "model_not_found"


class BodyTooSlow(ServiceError):
    status = 408
    kind = "body_too_slow"


class BodyTooLarge(ServiceError):
    status = 413
    kind = "too_large"


class UnsupportedMedia(ServiceError):
    status = 415
    kind = "unsupported_media"


class TooManyRequests(ServiceError):
    status = 429
    kind = "rate_limited"


class HeadTooLarge(ServiceError):
    status = 431
    kind = "head_too_large"


class ClientLeft(ServiceError):
    """The client closed the connection: the status is for the access log alone.

    `stage` is the label of `limrank_requests_cancelled_total`.
    """

    status = 499
    kind = "client_left"

    @property
    def stage(self) -> Stage:
        return "running" if self.begun else "queued"


class EngineFailed(ServiceError):
    """The engine could not score `indices`: into `Job.passages`, or into the call's once the window raises it."""

    status = 500
    kind = "engine_failed"

    def __init__(self, message: str, indices: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.indices = tuple(indices)

    def at(self, places: Sequence[int]) -> EngineFailed:
        """Returns the same error with `places[index]` for each index."""
        if not self.indices:
            return self
        indices = sorted({places[index] for index in self.indices})
        told = EngineFailed(f"The engine could not score document {indices[0]}, also when it was alone.", indices)
        told.begun = self.begun
        return told


class Unavailable(ServiceError):
    """`reason` is the label of `limrank_requests_rejected_total`: queue_full, deadline, draining, cut or not_ready.
    `admitted`: the call had been let in before."""

    status = 503
    kind = "unavailable"
    admitted = False

    def __init__(self, message: str, *, reason: str, retry_after: float = 1.0) -> None:
        super().__init__(message, retry_after=retry_after)
        self.reason = reason


class CallCut(Unavailable):
    """The time to drain ran out. Unlike with a refusal, the time the caller has waited is lost."""

    kind = "call_cut"

    def __init__(self) -> None:
        super().__init__("The server stopped before this call was finished; send it again.", reason="cut")


class EngineDead(Unavailable):
    kind = "engine_dead"

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="not_ready", retry_after=10.0)


class DeadlineExceeded(ServiceError):
    status = 504
    kind = "deadline_exceeded"


class StartupError(Exception):
    """Base of the errors that keep the server from starting. The message says what is wrong and what to do."""


class ModelStoreError(StartupError):
    """The model asked for cannot be served."""


class ConversionError(ModelStoreError):
    """A GGUF file that cannot be converted into a model."""


class UnfitModelError(StartupError):
    """The model does not pass the start check, and is not to be served then."""


class EngineOptionError(StartupError):
    """A flag or setting of the engine that cannot be used."""


class KeyFileError(StartupError):
    """The key file cannot be used. The message never quotes a secret."""


class CannotListenError(StartupError):
    """The address cannot be bound."""
