"""Everything that can go wrong in the service, as one tree, each leaf with its HTTP status.

ServiceError
|-- BadRequest 400
|   |-- EmptyList 400             documents, texts or passages without a single item
|   |-- FixedPartsTooLong 400     query and instruction alone exceed the model's length
|   `-- PassageTooLong 400        a passage does not fit and the caller forbade truncation
|-- Unauthorized 401
|-- UnknownModel 404
|-- BodyTooSlow 408               the body did not arrive in time
|-- BodyTooLarge 413              also: too many documents
|-- UnsupportedMedia 415          a compressed body
|-- TooManyRequests 429           a key's own limit; carries Retry-After
|-- HeadTooLarge 431              a request's header is larger than allowed
|-- ClientLeft 499                nobody is there to read an answer
|-- EngineFailed 500              the engine failed on documents; names their indices
|-- Unavailable 503               queue full, draining, not ready; carries Retry-After
|   |-- CallCut 503               the server stopped before the call was finished
|   `-- EngineDead 503            nothing can be scored any more
`-- DeadlineExceeded 504
"""

from __future__ import annotations

from collections.abc import Sequence


class ServiceError(Exception):
    """Base of the tree. `status` is the HTTP status, `kind` a stable machine-readable word, `field` what to mend."""

    status = 500
    kind = "internal_error"

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
    """`index` into `Job.passages`, or the call's once the window raises it; `limit` in tokens."""

    kind = "passage_too_long"

    def __init__(self, index: int, limit: int) -> None:
        super().__init__(
            f"Document {index} has more than the {limit} tokens that are allowed, and the call forbids truncation; "
            "shorten it or allow truncation."
        )
        self.index = index
        self.limit = limit

    def of_call(self, index: int) -> PassageTooLong:
        """The same with the document's index in the whole call."""
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
    """The connection is gone: the answer is for the access log alone."""

    status = 499
    kind = "client_left"


class EngineFailed(ServiceError):
    """It could not score these passages: indices into `Job.passages`, or into the call's once the window raises it."""

    status = 500
    kind = "engine_failed"

    def __init__(self, message: str, indices: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.indices = tuple(indices)


class Unavailable(ServiceError):
    """`reason` is the label of `limrank_requests_rejected_total`: queue_full, deadline, draining, cut or not_ready."""

    status = 503
    kind = "unavailable"

    def __init__(self, message: str, *, reason: str, retry_after: float = 1.0) -> None:
        super().__init__(message, retry_after=retry_after)
        self.reason = reason


class CallCut(Unavailable):
    """The time to drain ran out: unlike a refusal, the caller has lost the time it waited."""

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
