"""The cross-encoder engine: a small encoder that reads query and passage together. It knows direct mode only.

One thread runs the model, one batch of like lengths at a time; between two batches of a call those of other calls get
their turn, the more urgent first. Text is encoded in threads of its own, so that long texts hold up each other only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import torch
import transformers
from tokenizers import Tokenizer

from contract.pairs import Pair, PairEncoder
from contract.prompt import ContractError
from service.engine import AGEING_SECONDS, Capabilities, Health, Job, Mode, Status, Verdict
from service.engines.cross_encoder.model import CrossEncoderModel
from service.errors import EngineDead, EngineFailed, FixedPartsTooLong, PassageTooLong
from service.models.checkpoint import Checkpoint, ModelStoreError

_ENCODERS = 2
_BATCH_TOKENS = 4096
_WINDOW = 128
_LONGEST_TOKEN = 100  # characters; BERT's tokenizers make one [UNK] of a longer word
_WARM_UP = Job(call="warm-up", query="what is a reranker", passages=("A reranker orders passages.",), priority=0)
_CLOSED = "The engine has been stopped."
_log = logging.getLogger("limrank.cross_encoder_engine")


class CrossEncoderEngine:
    """A `service.engine.Engine`. Build it with `load`."""

    def __init__(
        self, model: CrossEncoderModel, encoder: PairEncoder, *, threads: int | None = None, window: int = _WINDOW
    ) -> None:
        """`threads` None: as many as torch takes, one per core. `window` is in documents."""
        self._model = model
        self._encoder = encoder
        self._window = window
        self._closed = False
        self._turns = Turns()
        self._encoded: Callable[[str, float], None] = lambda *_: None
        self._worker = ThreadPoolExecutor(1, "limrank-engine", initializer=lambda: _use_threads(threads))
        self._encoders = ThreadPoolExecutor(_ENCODERS, "limrank-encode")

    @classmethod
    def load(cls, checkpoint: Checkpoint, *, dtype: str = "auto", threads: int | None = None) -> CrossEncoderEngine:
        """Load a checkpoint, in a second. Raise ModelStoreError."""
        manifest = checkpoint.manifest
        if manifest.kind != "cross-encoder":
            raise ModelStoreError(
                f"{checkpoint.name} is a {manifest.kind} model and no cross-encoder; leave the engine at auto."
            )
        tokenizer = Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        model = CrossEncoderModel.load(checkpoint.folder, dtype=dtype, temperature=manifest.temperature)
        try:
            encoder = PairEncoder(tokenizer, model.max_tokens)
        except ContractError as error:
            raise ModelStoreError(str(error)) from error
        return cls(model, encoder, threads=threads)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            engine="cross-encoder",
            engine_version=transformers.__version__,
            dtype=str(self._model.dtype).removeprefix("torch."),
            device="cpu",
            modes=frozenset({Mode.DIRECT}),
            window=self._window,
            max_model_tokens=self._encoder.max_tokens,
            max_reasoning_tokens=0,
        )

    async def score(self, job: Job, mode: Mode, budget: int, deadline: float | None) -> AsyncGenerator[Verdict]:
        """See `service.engine.Engine.score`. The service asks for direct mode only, as `capabilities` say."""
        if self._closed:
            raise EngineDead(_CLOSED)
        loop = asyncio.get_running_loop()
        pairs = await loop.run_in_executor(self._encoders, self._encode, job)
        failed: list[int] = []
        reason, since = "", time.monotonic()
        for batch in _batches(pairs):
            async with self._turns.turn(job.priority, since):
                if self._closed:
                    raise EngineDead(_CLOSED)
                chosen = [pairs[index] for index in batch]
                try:
                    odds = await loop.run_in_executor(self._worker, self._model.log_odds, chosen)
                except Exception as error:  # noqa: BLE001 - whatever the model raises, these fail and others go on
                    _log.error("forward_pass_failed", exc_info=error, extra={"documents": len(batch)})
                    failed, reason = [*failed, *batch], f"{type(error).__name__}: {error}"
                    continue
            for index, pair, one in zip(batch, chosen, odds, strict=True):
                yield _verdict(index, pair, one)
        if failed:
            raise EngineFailed(f"The engine failed on {len(failed)} passages: {reason}", sorted(failed))

    def observe(self, encoded: Callable[[str, float], None]) -> None:
        self._encoded = encoded

    async def warm_up(self) -> None:
        """Score one tiny document, so that no caller pays for what happens once."""
        async with aclosing(self.score(_WARM_UP, Mode.DIRECT, 0, None)) as verdicts:
            async for _ in verdicts:
                pass

    async def health(self) -> Health:
        return Health(ready=not self._closed, alive=not self._closed, reason=_CLOSED if self._closed else "")

    async def close(self) -> None:
        """Stop after the batch that runs now; jobs that are not done end with EngineDead."""
        self._closed = True
        await asyncio.to_thread(self._worker.shutdown)
        self._encoders.shutdown(wait=False, cancel_futures=True)

    def _encode(self, job: Job) -> list[Pair]:
        begun = time.perf_counter()
        query = self._query_ids(job)
        pairs = self._encoder.pairs(query, job.passages, job.passage_tokens, cut_left=job.cut_left)
        if not job.truncate and (cut := [index for index, pair in enumerate(pairs) if pair.truncated]):
            room = self._encoder.room(query)
            raise PassageTooLong(cut[0], room if job.passage_tokens is None else min(room, job.passage_tokens))
        self._encoded(job.call, time.perf_counter() - begun)
        return pairs

    def _query_ids(self, job: Job) -> list[int]:
        limit = self._encoder.max_tokens
        characters = len(job.query) + len(job.instruction or "")
        if characters > limit * _LONGEST_TOKEN:
            raise FixedPartsTooLong(
                f"Query and instruction have {characters} characters, far more than the {limit} tokens of the model; "
                "shorten them.",
                field="query",
            )
        ids = self._encoder.query_ids(job.query, job.instruction)
        if self._encoder.room(ids) < 0:
            raise FixedPartsTooLong(
                f"Query and instruction take {len(ids)} tokens, but the model has {limit} with the passage; "
                "shorten the query or the instruction.",
                field="query",
            )
        return ids


@dataclass(frozen=True, slots=True)
class _Waiter:
    """`since`: when its job came, in seconds of the clock."""

    priority: int
    since: float
    turn: asyncio.Future[None]

    def class_at(self, now: float) -> int:
        return max(0, self.priority - int((now - self.since) / AGEING_SECONDS))


class Turns:
    """One at a time; of those that wait the most urgent, and among these whoever waits longest for its turn. A job
    gains a class for every `AGEING_SECONDS`, as in the window. For one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._busy = False
        self._waiting: list[_Waiter] = []

    @asynccontextmanager
    async def turn(self, priority: int, since: float) -> AsyncIterator[None]:
        if self._busy:
            waiter = _Waiter(priority, since, asyncio.get_running_loop().create_future())
            self._waiting.append(waiter)
            try:
                await waiter.turn
            except asyncio.CancelledError:
                if waiter.turn.done() and not waiter.turn.cancelled():
                    self._pass_on()
                raise
        self._busy = True
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        """Give the turn, which stays taken, to the next that still waits."""
        self._waiting = [waiter for waiter in self._waiting if not waiter.turn.done()]
        if not self._waiting:
            self._busy = False
            return
        now = self._clock()
        first = min(self._waiting, key=lambda waiter: waiter.class_at(now))  # the first of equals
        self._waiting.remove(first)
        first.turn.set_result(None)


def _batches(pairs: Sequence[Pair]) -> Iterator[list[int]]:
    """Indices of pairs of like length, so many that they have `_BATCH_TOKENS` when padded; the longest come last."""
    batch: list[int] = []
    for index in sorted(range(len(pairs)), key=lambda index: len(pairs[index].ids)):
        if batch and (len(batch) + 1) * len(pairs[index].ids) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _verdict(index: int, pair: Pair, log_odds: float) -> Verdict:
    return Verdict(
        index=index,
        log_odds=log_odds,
        status=Status.COMPLETE,
        trace=None,
        prompt_tokens=len(pair.ids),
        cached_tokens=0,
        reasoning_tokens=0,
        truncated=pair.truncated,
    )


def _use_threads(threads: int | None) -> None:
    if threads is not None:
        torch.set_num_threads(threads)
