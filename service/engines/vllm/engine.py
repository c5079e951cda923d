"""The production engine: prompts become requests to a running vLLM, and these become completions.

Does not depend on the vLLM library: `Client` and `EngineInfo` are its interface.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from prometheus_client import REGISTRY, CollectorRegistry

from contract.reasoning import Reader
from contract.segments import Segments
from service.engine import Capabilities, Health, Output, Prompt, Series
from service.engines.causal.prompts import CausalEncoder, scoring_of
from service.engines.causal.requests import requests_of
from service.engines.submission import Submission
from service.engines.vllm.metrics import ProgressWatch, SchedulerSeries, vllm_progress
from service.engines.vllm.requests import Client
from service.engines.vllm.scheduler import VllmScheduler
from service.errors import EngineDead

_STEPS_AHEAD = 3  # one that runs, one scheduled after it, one whose answers are on their way
_STEP_SHARE = 0.25  # of a step, for the prompts of a call that follows a new one
_DEAD = "vLLM's engine process has ended."


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """A running vLLM. `positions`: tokens whose places the model can tell, of which `max_model_len` are served (0: as
    many). `step_tokens` and `max_requests` are those of one of its `ranks` replicas, `block` the tokens of
    one block of its cache; `random_weights`: it was started with dummy weights; `shutdown` blocks."""

    version: str
    dtype: str
    device: str
    max_model_len: int
    step_tokens: int
    max_requests: int
    block: int
    ranks: int
    dead: Callable[[], bool]
    unfinished: Callable[[], int]
    shutdown: Callable[[], None]
    positions: int = 0
    random_weights: bool = False


class VllmEngine:
    """A `service.engine.Engine`, created by `service.engines.vllm.client.load`. vLLM's processes run until `close`."""

    def __init__(
        self, client: Client, info: EngineInfo, segments: Segments, reader: Reader, *, stuck_after: float
    ) -> None:
        """`stuck_after`: seconds with work but without progress after which vLLM counts as stuck."""
        self._info = info
        self._close = segments.closing
        self._scoring = scoring_of(segments)
        self._reader = reader
        self._max_tokens = info.max_model_len - 1  # vLLM needs room for one token after every prompt
        self._encoder = CausalEncoder(segments, self._max_tokens)
        self._scheduler = VllmScheduler(client, segments, reader, block=info.block, ranks=info.ranks)
        self._watch = ProgressWatch(stuck_after, lambda: (self._scheduler.events, vllm_progress(REGISTRY)))
        self._series = CollectorRegistry()
        self._series.register(SchedulerSeries(self._scheduler, info.unfinished))
        self._closed = False

    @property
    def capabilities(self) -> Capabilities:
        step = self._info.step_tokens * self._info.ranks
        return Capabilities(
            engine="vllm",
            engine_version=self._info.version,
            dtype=self._info.dtype,
            device=self._info.device,
            scoring=self._scoring,
            window=self._info.max_requests * self._info.ranks,
            window_tokens=_STEPS_AHEAD * step,
            behind_tokens=int(_STEP_SHARE * step),
            max_model_tokens=self._max_tokens,
            positions=max(self._max_tokens, self._info.positions),
            max_reasoning_tokens=self._max_tokens // 2,
            random_weights=self._info.random_weights,
        )

    @property
    def encoder(self) -> CausalEncoder:
        return self._encoder

    @property
    def metrics(self) -> Sequence[Series]:
        return Series(REGISTRY, "vllm:"), Series(self._series, "limrank_")

    async def submit(self, prompts: Sequence[Prompt]) -> AsyncGenerator[Output]:
        """See `service.engine.Engine.submit`."""
        if self._closed or self._info.dead():
            raise EngineDead(_DEAD)
        submission = Submission(len(prompts))
        try:
            self._scheduler.add(requests_of(submission, prompts, self._close, self._reader))
            async for output in submission.outputs():
                yield output
        finally:
            self._scheduler.cancel(submission)

    async def health(self) -> Health:
        fault = _DEAD if self._info.dead() else self._watch.fault(self._scheduler.unfinished)
        return Health(ready=fault is None, alive=fault is None, reason=fault or "")

    async def close(self) -> None:
        """Ends open requests with EngineDead and stops vLLM's processes."""
        self._closed = True
        self._scheduler.die(EngineDead("The engine was closed."))
        await asyncio.to_thread(self._info.shutdown)
