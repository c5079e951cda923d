"""Spans of requests on OpenTelemetry's API: W3C trace context in, OTLP over HTTP out.

Without an endpoint the API's own no-op tracer is used and the SDK is never imported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    NoOpTracer,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.ranking import Timings

__all__ = ["NO_SPAN", "Attribute", "RequestTracer", "Span", "caller_context", "trace_id_of"]

Attribute = str | int | float | bool
NO_SPAN = INVALID_SPAN

_EXPORT_TIMEOUT_SECONDS = 5.0  # then a batch is dropped: a collector that is down must not delay a stop
_OTLP_PATH = "/v1/traces"
_PROPAGATOR = TraceContextTextMapPropagator()


def caller_context(traceparent: str, tracestate: str = "") -> Context:
    """Returns the context in these headers; it is empty if `traceparent` is invalid, and then a new trace starts.

    Stricter than the propagator in one point: it accepts blanks around the value, which the standard does not.
    """
    if traceparent != traceparent.strip():
        return Context()
    headers = {"traceparent": traceparent}
    return _PROPAGATOR.extract(headers | {"tracestate": tracestate} if tracestate else headers, Context())


def trace_id_of(span: Span) -> str | None:
    """Returns the span's trace id in hexadecimal; None if it belongs to no trace."""
    context = span.get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid else None


class RequestTracer:
    """Starts the spans of requests. Exports them if `endpoint` is given: the base URL of an OTLP/HTTP collector, or its
    full /v1/traces.

    `sample_ratio` is the share of sampled traces among those that start here; the caller's own decision is kept.
    """

    def __init__(self, endpoint: str | None = None, sample_ratio: float = 1.0, version: str = "unknown") -> None:
        self.exports = endpoint is not None
        self._tracer: Tracer = NoOpTracer()
        self._shutdown: Callable[[], None] | None = None
        if endpoint is not None:
            self._tracer, self._shutdown = _exporting_tracer(endpoint, sample_ratio, version)

    def start(self, name: str, parent: Context) -> Span:
        """Starts the span of a request, as a child of its caller's span if `parent` holds one."""
        return self._tracer.start_span(name, parent, SpanKind.SERVER)

    def record_phases(self, span: Span, received: float, timings: Timings) -> None:
        """Adds the phases of a ranked call as child spans; `timings` count from the monotonic instant `received`."""
        epoch = time.time() - time.monotonic() + received
        queue, inference = timings.queue / 1000, timings.inference / 1000
        for name, start, seconds in (("queue", epoch, queue), ("inference", epoch + queue, inference)):
            child = self._tracer.start_span(name, set_span_in_context(span, Context()), start_time=int(start * 1e9))
            child.end(int((start + seconds) * 1e9))

    def finish(self, span: Span, name: str, attributes: Mapping[str, Attribute], *, failed: bool) -> None:
        """Ends the span now, under its final name. `failed`: the service is to blame for the outcome."""
        span.update_name(name)
        span.set_attributes(dict(attributes))
        if failed:
            span.set_status(StatusCode.ERROR)
        span.end()

    def close(self) -> None:
        """Sends the remaining spans, for a few seconds at most. Blocks."""
        if self._shutdown is not None:
            self._shutdown()


def _exporting_tracer(endpoint: str, sample_ratio: float, version: str) -> tuple[Tracer, Callable[[], None]]:
    """Returns a tracer that exports batches from a thread of its own, dropping and logging those that fail, and the
    function that stops it."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
        resource=Resource.create({"service.name": "limrank", "service.version": version}),
        shutdown_on_exit=False,
    )
    url = endpoint.rstrip("/")
    exporter = OTLPSpanExporter(url if url.endswith(_OTLP_PATH) else url + _OTLP_PATH, timeout=_EXPORT_TIMEOUT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider.get_tracer("limrank", version), provider.shutdown
