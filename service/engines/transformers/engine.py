"""The embedded default engine: a causal model on the CPU, through transformers, for a laptop or a test machine.

The shared prefix of a call is computed once and its keys and values are reused for every passage; passages of several
calls go through the model together, end to end and without padding; logits are computed at one position, and there for
the two verdict words only. Log-odds do not depend on what else is in the batch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

import transformers
from tokenizers import Tokenizer

from contract.prompt import ContractError
from contract.segments import Segments
from contract.verdict import AS_IT_IS, Temperatures
from service.engine import PROBE, Capabilities, Health, Job, Mode, Verdict
from service.engines.causal.prompts import PromptDocuments
from service.engines.causal.queue import DocumentQueue
from service.engines.causal.sequences import Document, Submission
from service.engines.transformers.decoder import NextToken, TraceWriter, greedy
from service.engines.transformers.kv_cache import KeyValues, TraceSlots
from service.engines.transformers.model import PackedModel, load_model
from service.engines.transformers.prefix_cache import PrefixCache
from service.engines.transformers.runner import BatchRunner
from service.engines.transformers.scheduler import BatchLimits, PackPlanner
from service.engines.transformers.worker import EngineThread
from service.errors import EngineDead
from service.models.checkpoint import Checkpoint, ModelStoreError

_MIB = 1024 * 1024
_ENCODERS = 2


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """`threads` None: as many as torch takes, one per core. `max_model_tokens` None: the model's own limit.

    `window` is in documents. `BatchLimits` explains `batch_tokens`, `traces` and `trace_bytes`, `DocumentQueue`
    `turn_tokens`, and `PrefixCache` `prefix_bytes`.
    """

    threads: int | None = None
    window: int = 64
    batch_tokens: int = 1536
    turn_tokens: int = 2048
    traces: int = 64
    trace_bytes: int = 1024 * _MIB
    prefix_bytes: int = 256 * _MIB
    max_model_tokens: int | None = None
    temperatures: Temperatures = AS_IT_IS
    choose: NextToken = greedy


class TransformersEngine:
    """A `service.engine.Engine`. Build it with `load`; its thread runs until `close`."""

    def __init__(self, model: Any, segments: Segments, options: EngineOptions | None = None) -> None:
        """`model` comes from `service.engines.transformers.model.load_model`, `segments` are those of its tokenizer."""
        options = options or EngineOptions()
        packed = PackedModel(model, segments.verdict)
        self._max_tokens = min(packed.max_tokens, options.max_model_tokens or packed.max_tokens)
        self._dtype = str(packed.dtype).removeprefix("torch.")
        self._options = options
        self._encoded: Callable[[str, float], None] = lambda *_: None
        self._documents = PromptDocuments(segments, self._max_tokens)
        self._thread = EngineThread(runner_of(packed, segments, _end_ids(model, segments), options), options.threads)
        # Of its own, so that texts which take long hold up each other and neither the loop's executor nor a stop.
        self._encoders = ThreadPoolExecutor(_ENCODERS, "limrank-encode")
        self._thread.start()

    @classmethod
    def load(cls, checkpoint: Checkpoint, *, dtype: str = "auto", threads: int | None = None) -> TransformersEngine:
        """Load a checkpoint, in seconds. `dtype`: see `service.engines.dtype`. Raise ModelStoreError."""
        manifest = checkpoint.manifest
        if manifest.format is None:
            raise ModelStoreError(f"{checkpoint.name} is a {manifest.kind}; this engine runs causal models only.")
        tokenizer = Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
        try:
            segments = Segments(manifest.format, tokenizer)
        except ContractError as error:
            raise ModelStoreError(str(error)) from error
        model = load_model(checkpoint.folder, dtype)
        return cls(model, segments, EngineOptions(threads=threads, temperatures=manifest.temperatures))

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            engine="transformers",
            engine_version=transformers.__version__,
            dtype=self._dtype,
            device="cpu",
            modes=frozenset(Mode),
            window=self._options.window,
            max_model_tokens=self._max_tokens,
            max_reasoning_tokens=self._max_tokens // 2,
        )

    async def score(self, job: Job, mode: Mode, budget: int, deadline: float | None) -> AsyncGenerator[Verdict]:
        """See `service.engine.Engine.score`. Text is encoded in a thread of its own, off the event loop."""
        if self._thread.fault is not None:
            raise EngineDead(self._thread.fault)
        submission = Submission(len(job.passages))
        tokens = min(budget, self._max_tokens // 2) if mode is Mode.REASONING else None
        encoding = partial(self._encode, job, tokens, deadline, submission)
        documents = await asyncio.get_running_loop().run_in_executor(self._encoders, encoding)
        try:
            self._thread.submit(submission, documents)
            async for verdict in submission.verdicts():
                yield verdict
        finally:
            self._thread.cancel(submission)

    def observe(self, encoded: Callable[[str, float], None]) -> None:
        self._encoded = encoded

    def _encode(self, job: Job, tokens: int | None, deadline: float | None, submission: Submission) -> list[Document]:
        begun = time.perf_counter()
        documents = self._documents.encode(job, tokens, deadline, submission)
        self._encoded(job.call, time.perf_counter() - begun)
        return documents

    async def warm_up(self) -> None:
        """Score one tiny document in each mode, so that no caller pays for what happens once."""
        for mode in Mode:
            async with aclosing(self.score(PROBE, mode, 2, None)) as verdicts:
                async for _ in verdicts:
                    pass

    async def health(self) -> Health:
        fault = self._thread.fault
        return Health(ready=fault is None, alive=fault is None, reason=fault or "")

    async def close(self) -> None:
        """Stop the thread after the batch that runs now; jobs that are not done end with EngineDead."""
        await asyncio.to_thread(self._thread.stop)
        self._encoders.shutdown(wait=False, cancel_futures=True)


def runner_of(model: PackedModel, segments: Segments, end_ids: frozenset[int], options: EngineOptions) -> BatchRunner:
    """All parts of the engine but its thread, put together. `end_ids`: tokens that end a trace."""
    queue = DocumentQueue(options.turn_tokens)
    slots = TraceSlots(model.shape, options.trace_bytes)
    prefixes = PrefixCache(options.prefix_bytes, lambda: KeyValues(model.shape))
    limits = BatchLimits(options.batch_tokens, options.traces, options.trace_bytes)
    return BatchRunner(
        model,
        queue,
        PackPlanner(queue, prefixes, slots, segments.close, limits),
        TraceWriter(model, slots, segments, end_ids, options.choose),
        slots,
        close_tokens=len(segments.close),
        temperatures=options.temperatures,
    )


def _end_ids(model: Any, segments: Segments) -> frozenset[int]:
    """Tokens that end a text: those the model's settings name, and every special token outside the close."""
    named = [model.generation_config.eos_token_id, model.config.eos_token_id]
    ids = {i for value in named for i in (value if isinstance(value, list) else [value]) if i is not None}
    added = segments.tokenizer.get_added_tokens_decoder()
    return frozenset((ids | {i for i, token in added.items() if token.special}) - set(segments.close))
