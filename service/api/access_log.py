"""The outermost middleware: request id, trace, metrics and one access line per request. Plain ASGI, since it is on the
path of every call and the whole service has 2 ms for a call of ten documents."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Iterable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.probes import PROBE_PATHS, route_path
from service.errors import BodyTooLarge, ServiceError, TooManyRequests, Unavailable
from service.lifecycle import Lifecycle, Phase
from service.telemetry import logs
from service.telemetry.metrics import OTHER_ROUTE, RERANK_ROUTES, STAGES, Metrics
from service.telemetry.tracing import Attribute, Span, Tracer, parse_traceparent

REQUEST_ID_HEADER = b"x-request-id"
CLIENT_LEFT = 499
_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_FIXED_PATHS = PROBE_PATHS | set(RERANK_ROUTES)

_log = logging.getLogger("limrank.access")


class ObserveMiddleware:
    """Sets `request_id` and `span` in `scope["state"]`, and afterwards reads there what the request turned out to be:
    `shape`, `documents`, `key`, `error` (the ServiceError that was answered), `cancelled` (true, or the stage at which
    the client left) and, for `log_texts`, `texts`.

    Once the server is about to stop, each answer but the probes' ends its connection: a client that keeps one would
    send its next call here for as long as it stands, though the balancer has long withdrawn this server.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        tracer: Tracer,
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
        state = scope.setdefault("state", {})
        given, parents, trace_states = _headers(scope["headers"])
        request_id = state["request_id"] = given or uuid.uuid4().hex
        # Not reset afterwards: what the server logs of this request, in the same task, carries the id as well.
        logs.request_id.set(request_id)
        parent = parse_traceparent(parents[0], ",".join(trace_states)) if len(parents) == 1 else None
        span = state["span"] = Span(None) if probe else self._tracer.start(scope["method"], parent)
        answer = _Answer(send, request_id.encode(), None if probe else self._lifecycle)
        begun = time.perf_counter()
        try:
            await self._app(scope, receive, answer.send)
        finally:
            outcome = _Outcome(scope, answer, time.perf_counter() - begun)
            self._count(outcome)
            span.finish(outcome.span_name, outcome.span_attributes(), failed=outcome.failed)
            self._log(outcome, span, logging.DEBUG if probe else logging.INFO)

    def _count(self, outcome: _Outcome) -> None:
        metrics = self._metrics
        metrics.request_finished(outcome.route, outcome.shape, outcome.status, outcome.seconds, outcome.documents)
        if outcome.stage is not None:
            metrics.cancelled.labels(outcome.stage).inc()
        elif (reason := _rejection(outcome.error)) is not None:
            metrics.rejected.labels(reason).inc()

    def _log(self, outcome: _Outcome, span: Span, level: int) -> None:
        if _log.isEnabledFor(level):
            fields = outcome.log_fields()
            if span.trace_id is not None:
                fields["trace_id"] = span.trace_id
            if self._log_texts and "texts" in outcome.state:
                fields["texts"] = outcome.state["texts"]
            _log.log(level, "request", extra=fields)


class _Answer:
    """Passes the response on with its request id, and remembers how far it came."""

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
    """What is told of a request: templates, names and numbers; never its path, its query string or its body."""

    def __init__(self, scope: Scope, answer: _Answer, seconds: float) -> None:
        self.state: dict[str, Any] = scope["state"]
        self.seconds = seconds
        self.method = scope["method"] if scope["method"] in _METHODS else "other"
        self.route = _route(scope)
        self.shape: str = self.state.get("shape") or "none"
        self.documents: int = self.state.get("documents") or 0
        self.error: ServiceError | None = self.state.get("error")
        self.stage = _stage(self.state.get("cancelled"))
        self.status = _status(answer, self.stage)

    @property
    def failed(self) -> bool:
        """The service is to blame; 424 is what TEI's clients get for 500."""
        return self.status >= 500 or self.status == 424

    @property
    def span_name(self) -> str:
        return f"{self.method} {self.route}"

    def span_attributes(self) -> dict[str, Attribute]:
        attributes: dict[str, Attribute] = {
            "http.request.method": self.method,
            "http.route": self.route,
            "http.response.status_code": self.status,
            "limrank.shape": self.shape,
            "limrank.documents": self.documents,
            "limrank.request_id": self.state["request_id"],
        }
        return attributes if self.error is None else attributes | {"error.type": self.error.kind}

    def log_fields(self) -> dict[str, Any]:
        key, error, stage = self.state.get("key"), self.error, self.stage
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
    """The caller's request id if it is one that may stand in logs, and its trace headers."""
    given, parents, trace_states = None, [], []
    for name, value in headers:
        if name == REQUEST_ID_HEADER and given is None and _SANE_ID.fullmatch(value):
            given = value.decode("ascii")
        elif name == b"traceparent":
            parents.append(value.decode("latin-1"))
        elif name == b"tracestate":
            trace_states.append(value.decode("latin-1"))
    return given, parents, trace_states


def _route(scope: Scope) -> str:
    """The template of the route, or of the path where the request did not reach a route; bounded either way."""
    template = getattr(scope.get("route"), "path", None)
    if template is not None:
        return str(template)
    path = route_path(scope)
    return path if path in _FIXED_PATHS else OTHER_ROUTE


def _stage(cancelled: object) -> str | None:
    if not cancelled:
        return None
    return cancelled if isinstance(cancelled, str) and cancelled in STAGES else STAGES[-1]


def _status(answer: _Answer, stage: str | None) -> int:
    if stage is not None:
        return CLIENT_LEFT
    return answer.status if answer.status is not None and answer.complete else 500


def _rejection(error: ServiceError | None) -> str | None:
    """The label under which a refusal is counted; 401 is counted where keys are checked."""
    if isinstance(error, Unavailable):
        return error.reason
    if isinstance(error, BodyTooLarge):
        return "too_large"
    return "rate_limited" if isinstance(error, TooManyRequests) else None
