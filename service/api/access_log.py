"""The outermost middleware: request id, trace, metrics and one access line per request.

Plain ASGI, since it is on the path of every call and the whole service has 2 ms for a call of ten documents.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Iterable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.context import RequestContext, new_request_context
from service.api.paths import PROBE_PATHS, RANKING_PATHS, route_path
from service.errors import BodyTooLarge, ClientLeft, ServiceError, TooManyRequests, Unavailable
from service.lifecycle import Lifecycle, Phase
from service.telemetry import logs
from service.telemetry.metrics import OTHER_ROUTE, Metrics
from service.telemetry.openinference import reranker_attributes
from service.telemetry.tracing import NO_SPAN, Attribute, RequestTracer, Span, caller_context, trace_id_of

REQUEST_ID_HEADER = b"x-request-id"
_VALID_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_FIXED_PATHS = PROBE_PATHS | RANKING_PATHS

_log = logging.getLogger("limrank.access")


class AccessLogMiddleware:
    """Makes the `RequestContext` that inner layers fill in; reports it to metrics, span and log afterwards.

    Once the server is about to stop, every response except the probes' closes its connection: a client that keeps
    one open would go on sending calls here long after the balancer has withdrawn this server.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        tracer: RequestTracer,
        *,
        lifecycle: Lifecycle | None = None,
        log_texts: bool = False,
    ) -> None:
        self._app = app
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._tracer = tracer
        self._log_texts = log_texts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif route_path(scope) in PROBE_PATHS:
            await self._serve(scope, receive, send, probe=True)
        else:
            with self._metrics.inflight.track_inprogress():
                await self._serve(scope, receive, send, probe=False)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, *, probe: bool) -> None:
        given, parents, states = _headers(scope["headers"])
        request_id = given or uuid.uuid4().hex
        context = new_request_context(scope, request_id)
        # Never reset: what the server logs about this request later, in the same task, carries the id as well.
        logs.request_id.set(request_id)
        span = NO_SPAN if probe else self._start_span(scope["method"], parents, states)
        response = _Response(send, request_id.encode(), None if probe else self._lifecycle)
        start = time.perf_counter()
        try:
            await self._app(scope, receive, response.send)
        finally:
            outcome = _Outcome(scope, context, response, time.perf_counter() - start)
            self._count(outcome)
            self._finish_span(span, outcome)
            self._log(outcome, span, logging.DEBUG if probe else logging.INFO)

    def _start_span(self, method: str, parents: list[str], states: list[str]) -> Span:
        parent = parents[0] if len(parents) == 1 else ""
        return self._tracer.start(method, caller_context(parent, ",".join(states) if self._tracer.exports else ""))

    def _finish_span(self, span: Span, outcome: _Outcome) -> None:
        if not span.is_recording():
            return
        context = outcome.context
        if context.received is not None and context.timings is not None:
            self._tracer.record_phases(span, context.received, context.timings)
        name, attributes = f"{outcome.method} {outcome.route}", outcome.span_attributes()
        if context.calls:
            attributes |= reranker_attributes(context.calls, context.rankings, texts=self._log_texts)
        self._tracer.finish(span, name, attributes, failed=outcome.failed)

    def _count(self, outcome: _Outcome) -> None:
        metrics = self._metrics
        metrics.request_finished(outcome.route, outcome.shape, outcome.status, outcome.seconds, outcome.documents)
        if outcome.stage is not None:
            metrics.cancelled.labels(outcome.stage).inc()
        elif (reason := _rejection(outcome.context.error)) is not None:
            metrics.rejected.labels(reason).inc()

    def _log(self, outcome: _Outcome, span: Span, level: int) -> None:
        if _log.isEnabledFor(level):
            fields = outcome.log_fields()
            if (trace_id := trace_id_of(span)) is not None:
                fields["trace_id"] = trace_id
            if self._log_texts and (query := outcome.context.query) is not None:
                fields["texts"] = {"query": query, "passages": outcome.context.passages}
            _log.log(level, "request", extra=fields)


class _Response:
    """Passes the response on with its request id, and records its status and whether it was complete."""

    def __init__(self, send: Send, request_id: bytes, lifecycle: Lifecycle | None) -> None:
        self._send = send
        self._request_id = request_id
        self._lifecycle = lifecycle
        self.status: int | None = None
        self.complete = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), (REQUEST_ID_HEADER, self._request_id)]
            last = self._lifecycle is not None and self._lifecycle.phase in (Phase.LEAVING, Phase.DRAINING)
            if last and all(name.lower() != b"connection" for name, _ in headers):
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        elif message["type"] == "http.response.body":
            self.complete = not message.get("more_body", False)
        await self._send(message)


class _Outcome:
    """The facts reported about a request: templates, names and numbers; never its path, query string or body."""

    def __init__(self, scope: Scope, context: RequestContext, response: _Response, seconds: float) -> None:
        self.context = context
        self.seconds = seconds
        self.method = scope["method"] if scope["method"] in _METHODS else "other"
        self.route = _route(scope)
        self.shape = context.shape or "none"
        self.documents = len(context.passages)
        self.stage = context.error.stage if isinstance(context.error, ClientLeft) else None
        self.status = _status(context.error, response)

    @property
    def failed(self) -> bool:
        """True if the service is to blame; TEI's clients get 424 in place of 500."""
        return self.status >= 500 or self.status == 424

    def span_attributes(self) -> dict[str, Attribute]:
        attributes: dict[str, Attribute] = {
            "http.request.method": self.method,
            "http.route": self.route,
            "http.response.status_code": self.status,
            "limrank.shape": self.shape,
            "limrank.documents": self.documents,
            "limrank.request_id": self.context.request_id or "",
        }
        error = self.context.error
        return attributes if error is None else attributes | {"error.type": error.kind}

    def log_fields(self) -> dict[str, Any]:
        key, error, stage = self.context.key, self.context.error, self.stage
        return {
            "method": self.method,
            "route": self.route,
            "status": self.status,
            "ms": round(self.seconds * 1000, 2),
            "documents": self.documents,
            "shape": self.shape,
            "key": None if key is None else key.name,
            **({} if error is None else {"error": error.kind}),
            **({} if stage is None else {"cancelled": stage}),
        }


def _headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str | None, list[str], list[str]]:
    """Returns the caller's request id if logs can carry it, and the values of its `traceparent` and `tracestate`."""
    request_id, parents, states = None, [], []
    for name, value in headers:
        if name == REQUEST_ID_HEADER and request_id is None and _VALID_ID.fullmatch(value):
            request_id = value.decode("ascii")
        elif name == b"traceparent":
            parents.append(value.decode("latin-1"))
        elif name == b"tracestate":
            states.append(value.decode("latin-1"))
    return request_id, parents, states


def _route(scope: Scope) -> str:
    """Returns the route's template, or a known path where the request reached no route; bounded either way."""
    template = getattr(scope.get("route"), "path", None)
    if template is not None:
        return str(template)
    path = route_path(scope)
    return path if path in _FIXED_PATHS else OTHER_ROUTE


def _status(error: ServiceError | None, response: _Response) -> int:
    if isinstance(error, ClientLeft):
        return ClientLeft.status
    if response.status is None or not response.complete:
        return 500
    # A stream that failed halfway was begun with 200.
    return response.status if error is None or response.status >= 400 else error.status


def _rejection(error: ServiceError | None) -> str | None:
    """Returns the label under which a refusal is counted; 401 is counted where keys are checked."""
    if isinstance(error, Unavailable):
        return error.reason
    if isinstance(error, BodyTooLarge):
        return "too_large"
    return "rate_limited" if isinstance(error, TooManyRequests) else None
