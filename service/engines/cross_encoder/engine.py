"""The cross-encoder engine: a classifier that reads query and passage together. Supports direct scoring only.

One thread runs the model, one batch at a time: the pairs that have waited longest, those of small calls before the
others; or, where batches are padded, the first of these and others of similar length.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from bisect import bisect_right
from collections.abc import AsyncGenerator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
import transformers

from contract.pairs import PairPrompts
from service.engine import Capabilities, Completion, Health, Output, Prompt, Scoring, Series
from service.engines.cross_encoder.encoder import ClassifierEncoder, classifier_encoder
from service.engines.cross_encoder.model import CrossEncoderModel, Pair
from service.engines.dtype import CPU
from service.engines.submission import Submission
from service.errors import EngineDead, ModelStoreError
from service.models.checkpoint import Checkpoint

# By device, padding included. A CPU is as fast with batches of this size as with larger ones, and new arrivals wait
# less: a call of ten passages has about 1300 tokens.
_BATCH_TOKENS = {"cpu": 512}
_BATCH_TOKENS_OF_GPUS = 16384
_BATCHES_AHEAD = 2  # one that runs, and one ready to follow it
_WINDOW = {"cpu": 128}  # documents
_WINDOW_OF_GPUS = 1024
_CLOSED = "The engine has been stopped."
_log = logging.getLogger("limrank.cross_encoder_engine")


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A pair that waits for its batch. `index` is its index in the submission. `first`: see `Prompt`."""

    submission: Submission
    index: int
    pair: Pair
    first: bool = False


class CrossEncoderEngine:
    """A `service.engine.Engine`. Create it with `load`."""

    def __init__(
        self,
        model: CrossEncoderModel,
        encoder: ClassifierEncoder,
        *,
        threads: int | None = None,
        window: int | None = None,
    ) -> None:
        """`threads` None: torch's default, one per core. `window` is in documents."""
        self._model = model
        self._encoder = encoder
        self._window = window or _WINDOW.get(model.device.type, _WINDOW_OF_GPUS)
        self._batch_tokens = _BATCH_TOKENS.get(model.device.type, _BATCH_TOKENS_OF_GPUS)
        self._closed = False
        self._waiting: dict[_Waiting, None] = {}  # in order of arrival
        self._running: asyncio.Task[None] | None = None
        self._worker = ThreadPoolExecutor(1, "limrank-engine", initializer=lambda: _use_threads(threads))

    @classmethod
    def load(
        cls,
        checkpoint: Checkpoint,
        *,
        dtype: str = "auto",
        device: torch.device = CPU,
        threads: int | None = None,
        prompts: PairPrompts | None = None,
    ) -> CrossEncoderEngine:
        """Loads a checkpoint; takes about a second. `prompts` override those in its files. Raises ModelStoreError."""
        manifest = checkpoint.manifest
        if manifest.kind != "cross-encoder":
            raise ModelStoreError(
                f"{checkpoint.name} is a {manifest.kind} model and no cross-encoder; leave the engine at auto."
            )
        model = CrossEncoderModel.load(checkpoint.folder, dtype=dtype, device=device, classifier=checkpoint.classifier)
        return cls(model, classifier_encoder(checkpoint, model.max_tokens, prompts), threads=threads)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            engine="cross-encoder",
            engine_version=transformers.__version__,
            dtype=str(self._model.dtype).removeprefix("torch."),
            device=self._model.device.type,
            scoring=frozenset({Scoring.DIRECT}),
            window=self._window,
            window_tokens=_BATCHES_AHEAD * self._batch_tokens,
            behind_tokens=self._batch_tokens // 2,
            max_model_tokens=self._encoder.max_tokens,
            max_reasoning_tokens=0,
            positions=self._model.positions,
        )

    @property
    def encoder(self) -> ClassifierEncoder:
        return self._encoder

    @property
    def metrics(self) -> Sequence[Series]:
        return ()

    async def submit(self, prompts: Sequence[Prompt]) -> AsyncGenerator[Output]:
        """See `service.engine.Engine.submit`. The service requests direct scoring only, as `capabilities` state."""
        if self._closed:
            raise EngineDead(_CLOSED)
        submission = Submission(len(prompts))
        for index, prompt in enumerate(prompts):
            ids = [*prompt.prefix, *prompt.rest]
            pair = Pair(ids, len(ids) if prompt.second is None else prompt.second)
            self._waiting[_Waiting(submission, index, pair, prompt.first)] = None
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())
        try:
            async for output in submission.outputs():
                yield output
        finally:
            submission.cancelled = True
            for waiting in [each for each in self._waiting if each.submission is submission]:
                del self._waiting[waiting]

    async def health(self) -> Health:
        return Health(ready=not self._closed, alive=not self._closed, reason=_CLOSED if self._closed else "")

    async def close(self) -> None:
        """Stops after the running batch; unfinished prompts end with EngineDead."""
        self._closed = True
        if self._running is not None:
            await self._running
        await asyncio.to_thread(self._worker.shutdown)

    async def _run(self) -> None:
        """Runs batches until nothing waits."""
        loop = asyncio.get_running_loop()
        while self._waiting and not self._closed:
            batch = next_batch(self._waiting, self._batch_tokens, packed=self._model.packed)
            for each in batch:
                del self._waiting[each]
            try:
                logits = await loop.run_in_executor(self._worker, self._model.logits, [each.pair for each in batch])
            except Exception as error:  # noqa: BLE001 - whatever the model raises fails this batch only
                _log.error("forward_pass_failed", exc_info=error, extra={"documents": len(batch)})
                for each in batch:
                    each.submission.fail([each.index], f"{type(error).__name__}: {error}")
                continue
            made: dict[Submission, list[Output]] = {}
            for each, logit in zip(batch, logits, strict=True):
                made.setdefault(each.submission, []).append(Completion(each.index, (logit,)))
            for submission, outputs in made.items():
                submission.deliver(outputs)
        for submission in {each.submission for each in self._waiting}:
            submission.die(EngineDead(_CLOSED))
        self._running = None


def next_batch(waiting: Iterable[_Waiting], batch_tokens: int, *, packed: bool) -> list[_Waiting]:
    """The first of the waiting pairs and others, as many as have `batch_tokens`: those that came next where batches are
    `packed`, else those of similar length, all padded to the longest. Pairs of small calls are before the others."""
    in_order = sorted(waiting, key=lambda each: not each.first)
    if packed:
        return _oldest(in_order, batch_tokens)
    for batch in _batches(in_order, batch_tokens):
        if in_order[0] in batch:
            return batch
    return []


def _oldest(waiting: Sequence[_Waiting], batch_tokens: int) -> list[_Waiting]:
    """The first of `waiting`, by length: pairs of equal length are attended to together. A submission of which no more
    than half a batch would be left is taken whole, as a second batch costs it more than the larger first one."""
    sums = list(itertools.accumulate(len(each.pair.ids) for each in waiting))
    taken = max(1, bisect_right(sums, batch_tokens))
    last = waiting[taken - 1].submission
    whole = max(at for at, each in enumerate(waiting, 1) if each.submission is last)
    if sums[whole - 1] <= batch_tokens + batch_tokens // 2:
        taken = whole
    return sorted(waiting[:taken], key=lambda each: len(each.pair.ids))


def _batches(waiting: Sequence[_Waiting], batch_tokens: int) -> Iterable[list[_Waiting]]:
    """All of `waiting` in batches by length, the longest last."""
    batch: list[_Waiting] = []
    for each in sorted(waiting, key=lambda each: len(each.pair.ids)):
        if batch and (len(batch) + 1) * len(each.pair.ids) > batch_tokens:
            yield batch
            batch = []
        batch.append(each)
    if batch:
        yield batch


def _use_threads(threads: int | None) -> None:
    if threads is not None:
        torch.set_num_threads(threads)
