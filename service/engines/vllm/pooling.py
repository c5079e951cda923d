"""Serves sequence classifiers with vLLM's pooling runner: for classifiers with billions of parameters, on GPUs.

Does not depend on the vLLM library: `Pooler` and `PoolingInfo` are its interface. vLLM batches by tokens, without
padding, and orders its requests by priority and arrival; the service's queue has decided the order before.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import REGISTRY

from service.engine import Capabilities, Completion, Health, Output, Prompt, Scoring, Series
from service.engines.cross_encoder.encoder import ClassifierEncoder
from service.engines.submission import Submission
from service.engines.vllm.metrics import ProgressWatch, vllm_progress
from service.errors import EngineDead
from service.models.classifier import Classifier

_STEPS_AHEAD = 3  # as in `service.engines.vllm.engine`
_STEP_SHARE = 0.25
_DEAD = "vLLM's engine process has ended."
_log = logging.getLogger("limrank.vllm_pooling")


@dataclass(frozen=True, slots=True)
class Pooled:
    """The outputs of a classifier for one pair, before any activation; `cached` of its ids were not computed again."""

    outputs: tuple[float, ...]
    cached: int


class Pooler(Protocol):
    """Raises EngineDead when nothing can be computed any more, and whatever the library raises for a request."""

    async def pool(self, name: str, ids: Sequence[int], second: int | None, priority: int) -> Pooled:
        """From index `second` on the ids have token type 1. Cancelling the call frees the request."""
        ...


@dataclass(frozen=True, slots=True)
class PoolingInfo:
    """A running vLLM. `reads_last` marks a decoder, read at its last token that is not `pad` (None: no padding id).
    `types`: the model has token types. The rest is as in `service.engines.vllm.engine.EngineInfo`."""

    version: str
    dtype: str
    device: str
    step_tokens: int
    max_requests: int
    ranks: int
    types: bool
    reads_last: bool
    pad: int | None
    dead: Callable[[], bool]
    shutdown: Callable[[], None]
    positions: int = 0
    random_weights: bool = False


class VllmPoolingEngine:
    """A `service.engine.Engine`, created by `service.engines.vllm.client.load_classifier`."""

    def __init__(
        self,
        pooler: Pooler,
        info: PoolingInfo,
        encoder: ClassifierEncoder,
        classifier: Classifier,
        *,
        stuck_after: float,
    ) -> None:
        """`stuck_after`: seconds with work but without progress after which vLLM counts as stuck."""
        self._pooler = pooler
        self._info = info
        self._classifier = classifier
        self._encoder = encoder
        self._names = itertools.count()
        self._running: dict[asyncio.Task[None], Submission] = {}
        self._done = 0
        self._watch = ProgressWatch(stuck_after, lambda: (self._done, vllm_progress(REGISTRY)))
        self._closed = False

    @property
    def capabilities(self) -> Capabilities:
        step = self._info.step_tokens * self._info.ranks
        return Capabilities(
            engine="vllm",
            engine_version=self._info.version,
            dtype=self._info.dtype,
            device=self._info.device,
            scoring=frozenset({Scoring.DIRECT}),
            window=self._info.max_requests * self._info.ranks,
            window_tokens=_STEPS_AHEAD * step,
            behind_tokens=int(_STEP_SHARE * step),
            max_model_tokens=self._encoder.max_tokens,
            max_reasoning_tokens=0,
            positions=self._info.positions,
            random_weights=self._info.random_weights,
        )

    @property
    def encoder(self) -> ClassifierEncoder:
        return self._encoder

    @property
    def metrics(self) -> Sequence[Series]:
        return (Series(REGISTRY, "vllm:"),)

    async def submit(self, prompts: Sequence[Prompt]) -> AsyncGenerator[Output]:
        """See `service.engine.Engine.submit`. The service requests direct scoring only, as `capabilities` state."""
        if self._closed or self._info.dead():
            raise EngineDead(_DEAD)
        submission = Submission(len(prompts))
        for index, prompt in enumerate(prompts):
            task = asyncio.get_running_loop().create_task(self._score(submission, index, prompt))
            self._running[task] = submission
            task.add_done_callback(self._running.pop)
        try:
            async for output in submission.outputs():
                yield output
        finally:
            submission.cancelled = True
            for task in [task for task, of in self._running.items() if of is submission]:
                task.cancel()

    async def health(self) -> Health:
        fault = _DEAD if self._info.dead() else self._watch.fault(len(self._running))
        return Health(ready=fault is None, alive=fault is None, reason=fault or "")

    async def close(self) -> None:
        """Ends open requests with EngineDead and stops vLLM's processes."""
        self._closed = True
        for submission in set(self._running.values()):
            submission.die(EngineDead("The engine was closed."))
        await asyncio.to_thread(self._info.shutdown)

    async def _score(self, submission: Submission, index: int, prompt: Prompt) -> None:
        ids = self._read_part([*prompt.prefix, *prompt.rest])
        second = prompt.second if self._info.types else None
        try:
            pooled = await self._pooler.pool(f"{next(self._names)}", ids, second, prompt.priority)
        except EngineDead as error:
            submission.die(error)
        except Exception as error:  # noqa: BLE001 - whatever vLLM raises for a request fails that one only
            _log.error("request_failed", exc_info=error)
            submission.fail([index], f"{type(error).__name__}: {error}")
        else:
            self._done += 1
            cached = min(pooled.cached, len(prompt.prefix))
            submission.deliver([Completion(index, (self._classifier.score(pooled.outputs),), cached_tokens=cached)])

    def _read_part(self, ids: list[int]) -> list[int]:
        """The ids up to the one that is read: a decoder's outputs there do not depend on later ids."""
        if self._info.reads_last and self._info.pad is not None:
            while len(ids) > 1 and ids[-1] == self._info.pad:
                ids.pop()
        return ids
