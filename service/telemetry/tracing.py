"""W3C trace context in, spans out. OpenTelemetry is imported only where an exporter is configured."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from service.ranking import Timings

# https://www.w3.org/TR/trace-context/#traceparent-header: a version after 00 may append fields, ff is no version.
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

Attribute = str | int | float | bool


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The caller's trace and the span there that called us."""

    trace_id: str
    span_id: str
    flags: int
    state: str = ""


def parse_traceparent(header: str, state: str = "") -> TraceContext | None:
    """The trace context in a `traceparent` header, or None where it is not valid: then a trace begins here."""
    match = _TRACEPARENT.fullmatch(header)
    if match is None or (match[1] == "00" and match[5]):
        return None
    return TraceContext(match[2], match[3], int(match[4], 16), state)


class Span:
    """The span of one request. This class is the one that goes nowhere; it knows the caller's trace id all the same."""

    def __init__(self, trace_id: str | None) -> None:
        self.trace_id = trace_id

    def phase(self, name: str, begun: float, seconds: float) -> None:
        """Add a child span that began at `begun` (monotonic seconds) and took `seconds`."""

    def finish(self, name: str, attributes: Mapping[str, Attribute], *, failed: bool) -> None:
        """End the span now, under its final name. `failed`: the service is to blame for the outcome."""


class SpanSource(Protocol):
    """Whoever makes spans that are exported."""

    def start(self, name: str, parent: TraceContext | None) -> Span: ...
    def close(self) -> None: ...


class Tracer:
    """Makes the spans of requests; exports them where there is an endpoint (an OTLP/HTTP collector's base URL, or its
    full /v1/traces). `sample_ratio`: share of the traces that begin here; a caller's own decision is kept."""

    def __init__(self, endpoint: str | None = None, sample_ratio: float = 1.0, version: str = "unknown") -> None:
        self._source: SpanSource | None = None
        if endpoint is not None:
            spans = importlib.import_module("service.telemetry.otel_spans")
            self._source = spans.ExportedSpans(endpoint, sample_ratio, version)

    def start(self, name: str, parent: TraceContext | None) -> Span:
        """Begin the span of a request, under its caller's where it named one."""
        if self._source is None:
            return Span(parent.trace_id if parent else None)
        return self._source.start(name, parent)

    def close(self) -> None:
        """Send what is left, for a few seconds at most; blocks."""
        if self._source is not None:
            self._source.close()


def record_phases(span: Span, received: float, timings: Timings) -> None:
    """The phases of a ranked call as child spans; `received` is the monotonic instant from which `timings` count."""
    queue, inference = (timings.queue + timings.tokenize) / 1000, timings.inference / 1000
    span.phase("queue", received, queue)
    span.phase("inference", received + queue, inference)
