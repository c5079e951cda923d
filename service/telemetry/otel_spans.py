"""Spans by OpenTelemetry, sent to a collector by OTLP over HTTP. The one module that imports opentelemetry."""

from __future__ import annotations

import time
from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import Tracer as OtelTracer

from service.telemetry.tracing import Attribute, Span, TraceContext

_EXPORT_TIMEOUT_SECONDS = 5.0  # then a batch is dropped: a collector that is down must not hold up a stop
_PATH = "/v1/traces"


class ExportedSpans:
    """Collects spans and sends them in batches from a thread of its own; what it cannot send it drops and logs."""

    def __init__(self, endpoint: str, sample_ratio: float, version: str) -> None:
        url = endpoint.rstrip("/")
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
            resource=Resource.create({"service.name": "limrank", "service.version": version}),
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(url if url.endswith(_PATH) else url + _PATH, timeout=_EXPORT_TIMEOUT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("limrank", version)

    def start(self, name: str, parent: TraceContext | None) -> Span:
        return _ExportedSpan(self._tracer, self._tracer.start_span(name, _context(parent), SpanKind.SERVER))

    def close(self) -> None:
        self._provider.shutdown()


class _ExportedSpan(Span):
    def __init__(self, tracer: OtelTracer, span: OtelSpan) -> None:
        super().__init__(f"{span.get_span_context().trace_id:032x}")
        self._tracer = tracer
        self._span = span
        self._monotonic_to_epoch = time.time() - time.monotonic()

    def phase(self, name: str, begun: float, seconds: float) -> None:
        start = self._monotonic_to_epoch + begun
        child = self._tracer.start_span(name, set_span_in_context(self._span), start_time=int(start * 1e9))
        child.end(int((start + seconds) * 1e9))

    def finish(self, name: str, attributes: Mapping[str, Attribute], *, failed: bool) -> None:
        self._span.update_name(name)
        self._span.set_attributes(dict(attributes))
        if failed:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def _context(parent: TraceContext | None) -> Context:
    if parent is None:
        return Context()
    caller = SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(parent.flags),
        trace_state=TraceState.from_header([parent.state]),
    )
    return set_span_in_context(NonRecordingSpan(caller), Context())
