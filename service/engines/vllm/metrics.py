"""What the scheduler in front of vLLM counts, as series beside vLLM's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.engines.vllm.scheduler import VllmScheduler


class SchedulerSeries(Collector):
    """The verdict steps after traces, the tokens that they computed a second time, and what vLLM holds now."""

    def __init__(self, scheduler: VllmScheduler, requests: Callable[[], int]) -> None:
        """`requests`: how many vLLM's front end has not finished."""
        self._scheduler = scheduler
        self._requests = requests

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "limrank_verdict_steps",
            "Verdicts that took a request of their own after the trace.",
            value=self._scheduler.verdict_steps,
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
