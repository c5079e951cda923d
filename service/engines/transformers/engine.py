"""The embedded default engine: a causal model on the CPU through transformers, for a laptop or a test machine (or on a
GPU without vLLM).

The shared prefix of a call is computed once, and its keys and values are reused for every passage. Passages of several
calls go through the model together, concatenated and without padding; logits are computed at one position of each. The
result for a passage does not depend on the rest of the batch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers

from contract.prompt import ContractError
from contract.reasoning import Reader, end_ids
from contract.segments import Segments
from service.engine import Capabilities, Health, Output, Prompt, Series
from service.engines.causal.prompts import CausalEncoder, scoring_of
from service.engines.causal.requests import requests_of
from service.engines.dtype import CPU
from service.engines.submission import Submission
from service.engines.transformers.decoder import Decoder, NextToken, greedy
from service.engines.transformers.kv_cache import DecodeCache, KVCache
from service.engines.transformers.model import ModelRunner, load_model
from service.engines.transformers.prefix_cache import PrefixCache
from service.engines.transformers.runner import BatchRunner
from service.engines.transformers.scheduler import BatchLimits, Scheduler
from service.engines.transformers.waiting import WaitingRequests
from service.engines.transformers.worker import EngineThread
from service.errors import EngineDead, ModelStoreError
from service.models.checkpoint import Checkpoint

_MIB = 1024 * 1024
_BATCHES_AHEAD = 2  # one that runs, and one ready to follow it


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """`threads` None: torch's default, one per core. `max_model_tokens` None: the model's own limit.

    `window` is in documents. For `batch_tokens`, `generations` and `decode_bytes` see `BatchLimits`, for `prefix_bytes`
    see `PrefixCache`.
    """

    threads: int | None = None
    window: int = 64
    batch_tokens: int = 512
    generations: int = 64
    decode_bytes: int = 1024 * _MIB
    prefix_bytes: int = 256 * _MIB
    max_model_tokens: int | None = None
    choose: NextToken = greedy


class TransformersEngine:
    """A `service.engine.Engine`. Create it with `load`; its thread runs until `close`."""

    def __init__(self, model: Any, segments: Segments, options: EngineOptions | None = None) -> None:
        """`model` comes from `service.engines.transformers.model.load_model`; `segments` are those of its tokenizer."""
        options = options or EngineOptions()
        runner = ModelRunner(model, logits=segments.reading.logits)
        self._positions = runner.max_tokens
        self._max_tokens = min(runner.max_tokens, options.max_model_tokens or runner.max_tokens)
        self._dtype = str(runner.dtype).removeprefix("torch.")
        self._device = runner.device.type
        self._options = options
        self._close = segments.closing
        self._scoring = scoring_of(segments)
        self._reader = Reader(segments, end_ids(segments, model.generation_config.to_dict(), model.config.to_dict()))
        self._encoder = CausalEncoder(segments, self._max_tokens)
        self._thread = EngineThread(runner_of(runner, segments, self._reader, options), options.threads)
        self._thread.start()

    @classmethod
    def load(
        cls, checkpoint: Checkpoint, *, dtype: str = "auto", device: torch.device = CPU, threads: int | None = None
    ) -> TransformersEngine:
        """Loads a checkpoint; takes seconds. `dtype`: see `service.engines.dtype`. Raises ModelStoreError."""
        manifest = checkpoint.manifest
        if manifest.format is None:
            raise ModelStoreError(f"{checkpoint.name} is a {manifest.kind}; this engine runs causal models only.")
        tokenizer = checkpoint.tokenizer()
        try:
            segments = Segments(manifest.format, tokenizer)
        except ContractError as error:
            raise ModelStoreError(str(error)) from error
        return cls(load_model(checkpoint.folder, dtype, device), segments, EngineOptions(threads=threads))

    @property
    def capabilities(self) -> Capabilities:
        batch = self._options.batch_tokens
        return Capabilities(
            engine="transformers",
            engine_version=transformers.__version__,
            dtype=self._dtype,
            device=self._device,
            scoring=self._scoring,
            window=self._options.window,
            window_tokens=_BATCHES_AHEAD * batch,
            behind_tokens=batch // 2,
            max_model_tokens=self._max_tokens,
            positions=self._positions,
            max_reasoning_tokens=self._max_tokens // 2,
            kept_tokens=batch,
        )

    @property
    def encoder(self) -> CausalEncoder:
        return self._encoder

    @property
    def metrics(self) -> Sequence[Series]:
        return ()

    async def submit(self, prompts: Sequence[Prompt]) -> AsyncGenerator[Output]:
        """See `service.engine.Engine.submit`."""
        if self._thread.fault is not None:
            raise EngineDead(self._thread.fault)
        submission = Submission(len(prompts))
        try:
            self._thread.submit(submission, requests_of(submission, prompts, self._close, self._reader))
            async for output in submission.outputs():
                yield output
        finally:
            self._thread.cancel(submission)

    async def health(self) -> Health:
        fault = self._thread.fault
        return Health(ready=fault is None, alive=fault is None, reason=fault or "")

    async def close(self) -> None:
        """Stops the thread after the running batch; unfinished prompts end with EngineDead."""
        await asyncio.to_thread(self._thread.stop)


def runner_of(
    model: ModelRunner,
    segments: Segments,
    reader: Reader,
    options: EngineOptions,
    clock: Callable[[], float] = time.monotonic,
) -> BatchRunner:
    """Assembles all parts of the engine except its thread."""
    waiting = WaitingRequests()
    decode_cache = DecodeCache(model.shape, options.decode_bytes)
    prefixes = PrefixCache(options.prefix_bytes, lambda: KVCache(model.shape))
    limits = BatchLimits(options.batch_tokens, options.generations, options.decode_bytes)
    return BatchRunner(
        model,
        waiting,
        Scheduler(waiting, prefixes, decode_cache, limits),
        Decoder(model, decode_cache, segments, reader, options.choose),
        decode_cache,
        close_tokens=len(segments.closing),
        clock=clock,
    )
