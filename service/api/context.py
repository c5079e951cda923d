"""The facts known about one request: filled in by the layers it passes, read by access log, metrics and span."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from starlette.types import Scope

from service.errors import ServiceError, Unauthorized
from service.ranking import Key, Ranking, RerankCall, Timings

_SCOPE_KEY = "limrank.request"


@dataclass(slots=True)
class RequestContext:
    """One per request. Fields are None until the request has come far enough to know them."""

    request_id: str | None = None
    key: Key | None = None
    """Set by `AuthMiddleware` for every request it lets through."""
    shape: str | None = None
    """Label of the body's shape, such as `cohere`."""
    query: str | None = None
    passages: Sequence[str] = ()
    calls: Mapping[int | None, RerankCall] = field(default_factory=dict)
    """The valid calls in the body, by their places in it; the one that the body is, by None."""
    rankings: Mapping[int | None, Ranking] = field(default_factory=dict)
    """The results of those that have some, by the same places."""
    received: float | None = None
    """Monotonic instant of the body's last byte."""
    timings: Timings | None = None
    """Set when the call has been ranked; counted from `received`."""
    error: ServiceError | None = None
    """The error that was answered."""

    @property
    def caller(self) -> Key:
        """The key of a request that was let through. Raises Unauthorized if no middleware checked it."""
        if self.key is None:
            raise Unauthorized("The key of this request was not checked.")
        return self.key


def request_context(scope: Scope) -> RequestContext:
    """Returns the request's context; makes one where no outer middleware did."""
    context: RequestContext | None = scope.get(_SCOPE_KEY)
    return new_request_context(scope) if context is None else context


def new_request_context(scope: Scope, request_id: str | None = None) -> RequestContext:
    """Starts the context of a request. To be called once, by the outermost middleware."""
    context = scope[_SCOPE_KEY] = RequestContext(request_id)
    return context
