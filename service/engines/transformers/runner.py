"""Runs the model over waiting requests and generations, one batch or one decoding step at a time. Independent of
threads."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

from contract.reasoning import Status
from service.engine import Output
from service.engines.causal.requests import Request
from service.engines.causal.speed import Pace
from service.engines.submission import Submission
from service.engines.transformers import deadlines
from service.engines.transformers.decoder import Decoder, Made
from service.engines.transformers.kv_cache import DecodeCache
from service.engines.transformers.model import ModelRunner
from service.engines.transformers.scheduler import Batch, Scheduler
from service.engines.transformers.waiting import WaitingRequests

_log = logging.getLogger("limrank.transformers_engine")


class BatchRunner:
    """Takes requests and returns their outputs. All methods must be called from one thread."""

    def __init__(
        self,
        model: ModelRunner,
        waiting: WaitingRequests,
        scheduler: Scheduler,
        decoder: Decoder,
        decode_cache: DecodeCache,
        *,
        close_tokens: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._waiting = waiting
        self._scheduler = scheduler
        self._decoder = decoder
        self._decode_cache = decode_cache
        self._close_tokens = close_tokens
        self._clock = clock
        self._pace = Pace()
        self._owed = 0.0  # seconds that batches had since generations last had as many

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._decoder.generations)

    def add(self, requests: Iterable[Request]) -> None:
        self._waiting.add(requests)

    def cancel(self, submission: Submission) -> None:
        """Drops the rest of a submission."""
        self._scheduler.discard(submission)
        self._decoder.discard(submission)

    def run_once(self) -> None:
        """Runs one batch or one step; outputs and failures go to their submissions."""
        self._meet_deadlines()
        batch = self._scheduler.plan() if self._batch_is_due() else None
        if batch is not None:
            self._run_batch(batch)
        elif self._decoder.generations:
            self._run_step()

    def _batch_is_due(self) -> bool:
        """Batches and steps get equal time; requests cut short by a deadline go before both, generations first."""
        if not self._waiting or self._decoder.urgent:
            return False
        idle = not self._decoder.generations or self._owed <= 0
        return idle or any(request.ended_by is Status.DEADLINE for request in self._waiting)

    def _run_batch(self, batch: Batch) -> None:
        begun = self._clock()
        try:
            self._finish_batch(batch)
        except Exception as error:  # noqa: BLE001 - whatever the model raises fails only this batch's requests
            _fail(self._scheduler.abandon(batch), error)
            return
        seconds = self._clock() - begun
        self._pace.packed(batch.tokens, seconds)
        if self._decoder.generations and not batch.rows:
            self._owed += seconds

    def _finish_batch(self, batch: Batch) -> None:
        hidden = self._model.prefill(batch.chunks, self._decode_cache)  # (chunks, dim)
        direct = [ending for ending in batch.endings if not ending.request.budget]
        written = [ending for ending in batch.endings if ending.request.budget]
        asked = [ending.request.prompt.answers for ending in direct]
        answers = self._model.answers(hidden[[ending.chunk for ending in direct]], asked)
        made = self._decoder.begin(written, hidden[[ending.chunk for ending in written]])
        for ending, read in zip(direct, answers, strict=True):
            made.append(Made(ending.request, ending.request.completion(read.values, read.mass)))
        _deliver(made)

    def _run_step(self) -> None:
        begun = self._clock()
        try:
            made = self._decoder.step()
        except Exception as error:  # noqa: BLE001 - as above
            _fail(self._decoder.abandon(), error)
            return
        seconds = self._clock() - begun
        self._pace.stepped(seconds)
        self._owed = max(0.0, self._owed - seconds) if self._decoder.generations else 0.0
        _deliver(made)

    def _meet_deadlines(self) -> None:
        """Ends reasoning whose deadline is near, and skips reasoning that could not begin in time."""
        now = self._clock()
        waiting = self._pace.token_seconds * min(self._scheduler.batch_tokens, sum(r.left for r in self._waiting))
        reserve = self._pace.step_seconds * (self._close_tokens + 1)
        for generation in deadlines.generations_to_end(self._decoder.generations, now + reserve + waiting):
            generation.end(Status.DEADLINE)
        token_seconds, missing = self._pace.token_seconds, self._scheduler.missing
        for request in deadlines.requests_to_hurry(self._waiting, now + reserve, token_seconds, missing):
            request.end_before_reasoning(Status.DEADLINE)
            self._waiting.hurry(request)


def _deliver(made: Iterable[Made]) -> None:
    by_submission: dict[Submission, list[Output]] = {}
    for each in made:
        by_submission.setdefault(each.request.submission, []).append(each.output)
    for submission, outputs in by_submission.items():
        submission.deliver(outputs)


def _fail(requests: Sequence[Request], error: Exception) -> None:
    _log.error("forward_pass_failed", exc_info=error, extra={"documents": len(requests)})
    by_submission: dict[Submission, list[int]] = {}
    for request in requests:
        by_submission.setdefault(request.submission, []).append(request.index)
    for submission, indices in by_submission.items():
        submission.fail(indices, f"{type(error).__name__}: {error}")
