"""The production engine: jobs become documents, and these verdicts, by a vLLM that is started already.

Knows no vLLM library: what it needs of it is in `Requests` and `Started`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from prometheus_client import REGISTRY, CollectorRegistry

from contract.segments import Segments
from contract.verdict import Temperatures
from service.engine import Capabilities, Health, Job, Mode, Verdict
from service.engines.causal.prompts import PromptDocuments
from service.engines.causal.sequences import Document, Submission
from service.engines.vllm.metrics import SchedulerSeries
from service.engines.vllm.options import VllmOptions
from service.engines.vllm.requests import Requests
from service.engines.vllm.scheduler import SchedulerLimits, VllmScheduler
from service.engines.vllm.trace import TraceReader
from service.engines.vllm.watch import ProgressWatch, vllm_progress
from service.errors import EngineDead

_ENCODERS = 2
_STEPS_AHEAD = 3  # one that runs, one that is scheduled behind it, one whose answers are on their way
_STEP_SHARE = 0.25  # of a step, for prompts of a call that goes behind a new one
_DEAD = "vLLM's engine process has ended."


@dataclass(frozen=True, slots=True)
class Started:
    """A running vLLM. `step_tokens` and `seats` are those of one of its `ranks` replicas; `shutdown` blocks."""

    version: str
    dtype: str
    device: str
    max_model_len: int
    step_tokens: int
    seats: int
    block: int
    ranks: int
    dead: Callable[[], bool]
    unfinished: Callable[[], int]
    shutdown: Callable[[], None]


class VllmEngine:
    """A `service.engine.Engine`. `service.engines.vllm.client.load` builds it; vLLM's processes run until `close`."""

    def __init__(
        self,
        requests: Requests,
        started: Started,
        segments: Segments,
        reader: TraceReader,
        temperatures: Temperatures,
        options: VllmOptions,
    ) -> None:
        self._started = started
        self._max_tokens = started.max_model_len - 1  # vLLM wants room for one token after every prompt
        self._documents = PromptDocuments(segments, self._max_tokens)
        ahead = started.step_tokens * started.ranks * _STEPS_AHEAD
        behind = int(started.step_tokens * started.ranks * _STEP_SHARE)
        limits = SchedulerLimits(ahead, behind, started.block, started.ranks)
        self._scheduler = VllmScheduler(requests, segments, reader, limits, temperatures)
        self._watch = ProgressWatch(options.stuck_after, lambda: (self._scheduler.events, vllm_progress(REGISTRY)))
        self._encoded: Callable[[str, float], None] = lambda *_: None
        self._encoders = ThreadPoolExecutor(_ENCODERS, "limrank-encode")
        self._series = CollectorRegistry()
        self._series.register(SchedulerSeries(self._scheduler, started.unfinished))
        self._closed = False

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            engine="vllm",
            engine_version=self._started.version,
            dtype=self._started.dtype,
            device=self._started.device,
            modes=frozenset(Mode),
            window=self._started.seats * self._started.ranks,
            max_model_tokens=self._max_tokens,
            max_reasoning_tokens=self._max_tokens // 2,
        )

    @property
    def series(self) -> tuple[tuple[CollectorRegistry, str], ...]:
        """Registries with series for the metrics page, and how the names of those begin."""
        return (REGISTRY, "vllm:"), (self._series, "limrank_")

    async def score(self, job: Job, mode: Mode, budget: int, deadline: float | None) -> AsyncGenerator[Verdict]:
        """See `service.engine.Engine.score`."""
        if self._closed or self._started.dead():
            raise EngineDead(_DEAD)
        submission = Submission(len(job.passages))
        tokens = min(budget, self._max_tokens // 2) if mode is Mode.REASONING else None
        encoding = partial(self._encode, job, tokens, deadline, submission)
        documents = await asyncio.get_running_loop().run_in_executor(self._encoders, encoding)
        if self._closed or self._started.dead():  # while it was encoded
            raise EngineDead(_DEAD)
        try:
            self._scheduler.add(documents)
            async for verdict in submission.verdicts():
                yield verdict
        finally:
            self._scheduler.cancel(submission)

    def observe(self, encoded: Callable[[str, float], None]) -> None:
        self._encoded = encoded

    async def health(self) -> Health:
        fault = _DEAD if self._started.dead() else self._watch.fault(self._scheduler.unfinished)
        return Health(ready=fault is None, alive=fault is None, reason=fault or "")

    async def close(self) -> None:
        """Answer what is left with EngineDead and end vLLM's processes."""
        self._closed = True
        self._scheduler.die(EngineDead("The engine was closed."))
        self._encoders.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._started.shutdown)

    def _encode(self, job: Job, tokens: int | None, deadline: float | None, submission: Submission) -> list[Document]:
        begun = time.perf_counter()
        documents = self._documents.encode(job, tokens, deadline, submission)
        self._encoded(job.call, time.perf_counter() - begun)
        return documents
