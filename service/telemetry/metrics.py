"""All `limrank_*` series of the service, with bounded labels, all present from the start.

Histograms of a call use the edges on which rerank clients time out (5, 10, 30, 60 s), so that an objective such as
"99 % under 10 s" can be read off exactly.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from contract.reasoning import Status
from service.lifecycle import Lifecycle
from service.ranking import AdaptiveUse, Mode, StageName, Timings, Verdict

CALL_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30, 60, 120)
TOKENIZE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
DOCUMENTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
LABEL_MASS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
RELEVANCE = tuple(n / 20 for n in range(1, 21))

SUPERSET_ROUTES = ("/rerank", "/v1/rerank", "/v2/rerank")
RERANK_ROUTES = (*SUPERSET_ROUTES, "/ranking", "/v1/ranking")
# Routes of several queries, each with its one shape.
SEVERAL_ROUTES = {"/v1/rerank/batch": "batch", "/v1/decisions": "decisions", "/v1/systemone": "systemone"}
OTHER_ROUTE = "other"
RANKING_SHAPES = ("cohere", "voyage", "tei", "nim", "none")
SHAPES = (*RANKING_SHAPES, *SEVERAL_ROUTES.values())
CODES = ("200", "400", "401", "404", "408", "413", "415", "422", "424", "429", "499", "500", "503", "504")
REASONS = (
    *("queue_full", "too_large", "deadline", "draining", "cut", "auth", "not_ready", "rate_limited"),
    *("connections", "head_too_large", "bad_head"),
)
STAGES = ("queued", "running")
OUTCOMES = ("in_time", "late", "refused", "given_up")
SIZES = ((10, "1-10"), (50, "11-50"), (200, "51-200"))
LARGEST = "201+"


class DocumentCounts(Protocol):
    """The numbers of documents that wait for the engine and that are in it."""

    @property
    def queued(self) -> int: ...
    @property
    def running(self) -> int: ...


class ByteCount(Protocol):
    """The number of bytes held."""

    bytes: int


class EngineSeries(Collector):
    """The series of an engine's own registry whose names begin with `prefix`."""

    def __init__(self, registry: CollectorRegistry, prefix: str) -> None:
        self._registry = registry
        self._prefix = prefix

    def collect(self) -> Iterator[Metric]:
        return (family for family in self._registry.collect() if family.name.startswith(self._prefix))

    def describe(self) -> Iterable[Metric]:
        """Returns nothing: the engine's series are not known beforehand."""
        return ()


class Metrics:
    """One instance per app, on its own registry. Every method costs microseconds and never blocks."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a third of all lines, and nothing reads them
        self.registry = registry or CollectorRegistry()
        self._with_engine = False
        ProcessCollector(registry=self.registry)
        self._build_requests()
        self._build_documents()
        self._build_state()
        self._create_series()

    def _build_requests(self) -> None:
        counter, histogram = partial(Counter, registry=self.registry), partial(Histogram, registry=self.registry)
        self.requests = counter(
            "limrank_requests", "Requests answered, by route, body shape and status.", ["route", "shape", "code"]
        )
        self.request_duration = histogram(
            "limrank_request_duration_seconds",
            "Time from the request's head to the answer's last byte, of rerank calls answered 200, by their documents.",
            ["route", "shape", "documents"],
            buckets=CALL_SECONDS,
        )
        self.rejected = counter(
            "limrank_requests_rejected",
            "Requests refused, by reason; cut: given up halfway by a stopping server.",
            ["reason"],
        )
        self.cancelled = counter("limrank_requests_cancelled", "Calls whose client left, by their stage.", ["stage"])
        self.inflight = Gauge(
            "limrank_inflight_requests", "Requests being handled, probes left out.", registry=self.registry
        )

    def _build_documents(self) -> None:
        counter, histogram = partial(Counter, registry=self.registry), partial(Histogram, registry=self.registry)
        seconds = partial(histogram, buckets=CALL_SECONDS)
        tokens = partial(histogram, buckets=TOKENS)
        self.queue_wait = seconds("limrank_queue_wait_seconds", "Time a call waited for its first seat.")
        self.inference = seconds("limrank_inference_seconds", "Time from a call's first seat to its last verdict.")
        self.tokenize = histogram(
            "limrank_tokenize_seconds", "Time to turn a call's text into ids.", buckets=TOKENIZE_SECONDS
        )
        self.documents = histogram("limrank_documents_per_request", "Documents of a call.", buckets=DOCUMENTS)
        self.document_tokens = tokens("limrank_document_tokens", "Tokens of one document's whole prompt.")
        self.reasoning_tokens = tokens("limrank_reasoning_tokens", "Tokens of one trace.")
        self.relevance = histogram("limrank_relevance_score", "Relevance given to documents.", buckets=RELEVANCE)
        self.label_mass = histogram(
            "limrank_label_mass",
            "Probability on all answer words together, of documents whose model tells it.",
            buckets=LABEL_MASS,
        )
        self.scored = counter("limrank_documents_scored", "Documents that got a verdict.")
        self.outcomes = counter(
            "limrank_documents_by_outcome",
            "Documents of calls: answered in time, late, refused at the door because of load, or given up behind it.",
            ["outcome"],
        )
        self.by_stage = counter(
            "limrank_documents_by_stage", "Documents that each model of a cascade scored.", ["stage"]
        )
        self.truncated = counter("limrank_documents_truncated", "Documents cut to fit the model.")
        self.empty = counter("limrank_documents_empty", "Blank documents among the scored.")
        self.verdicts = counter("limrank_verdicts", "Verdicts, by how the trace ended.", ["mode", "status"])
        self.score_cache = counter(
            "limrank_score_cache_documents", "Documents looked up in the cache of scores.", ["outcome"]
        )
        self.tokens = counter("limrank_tokens", "Tokens: whole prompts, those reused, traces.", ["kind"])
        self.probes = counter("limrank_adaptive_probes", "Verdicts read in the middle of a trace, in adaptive mode.")
        self.rounds = counter("limrank_adaptive_rounds", "Waves of traces of calls in adaptive mode.")
        self.undecided = counter(
            "limrank_adaptive_undecided", "Documents that adaptive calls left undecided: in the top or not."
        )
        self.saved = counter(
            "limrank_adaptive_saved_tokens",
            "Tokens that adaptive calls spent less than average traces of all their documents, by the fitted average.",
        )

    def _build_state(self) -> None:
        gauge = partial(Gauge, registry=self.registry)
        self.ready = gauge("limrank_ready", "1 while the service wants traffic.")
        self.queued_documents = gauge("limrank_queued_documents", "Documents admitted, not yet in the engine.")
        self.running_documents = gauge("limrank_running_documents", "Documents in the engine.")
        self.held_bytes = gauge("limrank_held_bytes", "Bytes of request bodies held, of calls not answered yet.")
        self.score_cache_bytes = gauge("limrank_score_cache_bytes", "Bytes of scores that are kept.")
        self.start_check_failed = gauge(
            "limrank_start_check_failed", "1 if the model ranked the passages of the start check wrongly."
        )
        self.keys = gauge("limrank_keys", "Keys in use.")
        self.key_file_stale = gauge("limrank_key_file_stale", "1 while the key file is unusable and older keys stay.")
        self.key_file_errors = Counter(
            "limrank_key_file_errors", "Versions of the key file that could not be used.", registry=self.registry
        )
        model = ["model", "revision", "engine", "engine_version", "dtype", "device"]
        self.model_info = gauge("limrank_model_info", "The model that is served.", model)
        self.build_info = gauge("limrank_build_info", "The program that serves it.", ["version", "python"])

    def _create_series(self) -> None:
        """Creates every series that a rate() may be taken of at zero, so that its first event shows as an increase."""
        for route in RERANK_ROUTES:
            for shape in RANKING_SHAPES if route in SUPERSET_ROUTES else ("nim", "none"):
                for code in CODES:
                    self.requests.labels(route, shape, code)
        for route, own in SEVERAL_ROUTES.items():
            for shape, code in product((own, "none"), CODES):
                self.requests.labels(route, shape, code)
        for reason in REASONS:
            self.rejected.labels(reason)
        for stage in STAGES:
            self.cancelled.labels(stage)
        for outcome in OUTCOMES:
            self.outcomes.labels(outcome)
        for mode, status in ((mode, status) for mode in Mode for status in Status):
            self.verdicts.labels(mode.value, status.value)
        for kind in ("prompt", "cached", "reasoning"):
            self.tokens.labels(kind)
        for outcome, stage in zip(("hit", "miss"), StageName, strict=True):
            self.score_cache.labels(outcome)
            self.by_stage.labels(stage.value)
        for size in (*(name for _, name in SIZES), LARGEST):
            self.request_duration.labels("/rerank", "cohere", size)

    def follow(self, lifecycle: Lifecycle, counts: DocumentCounts, bodies: ByteCount) -> None:
        """Makes the state gauges read their owners whenever metrics are scraped."""
        self.ready.set_function(lambda: float(lifecycle.ready))
        self.queued_documents.set_function(lambda: counts.queued)
        self.running_documents.set_function(lambda: counts.running)
        self.held_bytes.set_function(lambda: bodies.bytes)

    def follow_scores(self, held_bytes: Callable[[], float]) -> None:
        """Makes the gauge of the cache of scores read its owner."""
        self.score_cache_bytes.set_function(held_bytes)

    def looked_up(self, hits: int, misses: int) -> None:
        """Counts documents that were looked up in the cache of scores."""
        self.score_cache.labels("hit").inc(hits)
        self.score_cache.labels("miss").inc(misses)

    def note_start(self, failed: bool) -> None:
        """Records whether the model failed the start check."""
        self.start_check_failed.set(failed)

    def key_file_read(self, keys: int, usable: bool) -> None:
        """Records a version of the key file. `keys`: those in force, which stay the old ones if it is not usable."""
        self.keys.set(keys)
        self.key_file_stale.set(not usable)
        if not usable:
            self.key_file_errors.inc()

    def include_engine(self, registry: CollectorRegistry, prefix: str) -> None:
        """Shows the engine's own series (vLLM's `vllm:`, in prometheus_client's default registry) beside ours."""
        self._with_engine = True
        self.registry.register(EngineSeries(registry, prefix))

    def request_finished(self, route: str, shape: str, code: int, seconds: float, documents: int) -> None:
        """Counts a request. `route`: a template of ours or `other`; `documents`: 0 if the body was not understood."""
        shape = shape if shape in SHAPES else "none"
        self.requests.labels(route, shape, str(code)).inc()
        if documents:
            self.documents.observe(documents)
            if code == 200:
                self.request_duration.labels(route, shape, size_class(documents)).observe(seconds)

    def observe_adaptive(self, use: AdaptiveUse) -> None:
        """Counts what a call in adaptive mode took."""
        self.probes.inc(use.probes)
        self.rounds.inc(use.rounds)
        self.undecided.inc(use.undecided)
        self.saved.inc(use.saved)

    def observe_answer(self, mode: Mode, verdicts: Sequence[Verdict], blank: int, timings: Timings) -> None:
        """Counts the cost and the results of a call's verdicts. `blank`: how many of the documents had no text."""
        self.queue_wait.observe(timings.queue / 1000)
        self.tokenize.observe(timings.tokenize / 1000)
        self.inference.observe(timings.inference / 1000)
        self.scored.inc(len(verdicts))
        self.empty.inc(blank)
        self.truncated.inc(sum(verdict.truncated for verdict in verdicts))
        self.tokens.labels("prompt").inc(sum(verdict.prompt_tokens for verdict in verdicts))
        self.tokens.labels("cached").inc(sum(verdict.cached_tokens for verdict in verdicts))
        self.tokens.labels("reasoning").inc(sum(verdict.reasoning_tokens for verdict in verdicts))
        for status, count in Tally(verdict.status for verdict in verdicts).items():
            self.verdicts.labels(mode.value, status.value).inc(count)
        for verdict in verdicts:
            self.document_tokens.observe(verdict.prompt_tokens)
            self.relevance.observe(verdict.relevance)
            if verdict.label_mass is not None:
                self.label_mass.observe(verdict.label_mass)
            if mode is Mode.REASONING or (mode is Mode.ADAPTIVE and verdict.reasoning_tokens):
                self.reasoning_tokens.observe(verdict.reasoning_tokens)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Returns the exposition and its content type, in the newest format that the `Accept` header allows.

        With an engine's series it is always the plain format: prometheus_client 0.26 turns the colon of `vllm:` into an
        underscore in OpenMetrics samples (not in their HELP and TYPE), which would rename them.
        """
        encode, content_type = choose_encoder("" if self._with_engine else accept)
        return encode(self.registry), content_type


def size_class(documents: int) -> str:
    """Returns the label of a call with so many documents."""
    return next((name for most, name in SIZES if documents <= most), LARGEST)
