"""Metrics in addition to vLLM's own, and a check based on both: whether an engine that holds work makes progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.engines.vllm.scheduler import VllmScheduler

# Series that change while vLLM computes: tokens in and out, and the share of its memory that is filled.
_MOVING = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:kv_cache_usage_perc")


class SchedulerSeries(Collector):
    """Requests for answers after reasoning, the tokens that they computed a second time, and the requests in vLLM."""

    def __init__(self, scheduler: VllmScheduler, requests: Callable[[], int]) -> None:
        """`requests` returns the number that vLLM's front end has not finished."""
        self._scheduler = scheduler
        self._requests = requests

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "limrank_verdict_steps",
            "Verdicts that took a request of their own after the trace.",
            value=self._scheduler.second_requests,
        )
        yield CounterMetricFamily(
            "limrank_verdict_recomputed_tokens",
            "Tokens that verdict steps computed: the close, and what of prompt and trace was not in the cache.",
            value=self._scheduler.recomputed,
        )
        yield GaugeMetricFamily(
            "limrank_engine_requests", "Requests that vLLM has not finished.", value=self._requests()
        )

    def describe(self) -> Iterable[Metric]:
        return self.collect()


def vllm_progress(registry: CollectorRegistry) -> tuple[float, ...]:
    """A value that changes whenever a step of vLLM's engine has computed something."""
    families = registry.restricted_registry(_MOVING).collect()
    return tuple(sample.value for family in families for sample in family.samples)


class ProgressWatch:
    """Detects an engine whose process is alive but computes nothing.

    `progress` returns anything that changes with progress; it is called at every check.
    """

    def __init__(
        self, stuck_after: float, progress: Callable[[], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stuck_after = stuck_after
        self._progress = progress
        self._clock = clock
        self._last: object = None
        self._moved = clock()

    def fault(self, unfinished: int) -> str | None:
        """A sentence when `unfinished` requests have not moved for `stuck_after` seconds; otherwise None."""
        now, progress = self._clock(), self._progress()
        if not unfinished or progress != self._last:
            self._last, self._moved = progress, now
            return None
        if now - self._moved < self._stuck_after:
            return None
        return f"vLLM holds {unfinished} requests and has computed nothing for {now - self._moved:.0f} s."
