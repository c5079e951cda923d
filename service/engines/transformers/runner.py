"""Runs the model over waiting documents and traces, one pack or one decoding step at a time. Knows no thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

from contract.verdict import Temperatures
from service.engine import Status, Verdict
from service.engines.causal.queue import DocumentQueue
from service.engines.causal.sequences import Document, Submission
from service.engines.causal.speed import Pace
from service.engines.causal.traces import Reading
from service.engines.transformers import deadlines
from service.engines.transformers.decoder import TraceWriter
from service.engines.transformers.kv_cache import TraceSlots
from service.engines.transformers.model import PackedModel, VerdictLogits
from service.engines.transformers.scheduler import Pack, PackPlanner

_log = logging.getLogger("limrank.transformers_engine")


class BatchRunner:
    """Takes documents in ids and sends back their verdicts. All methods are called by one thread."""

    def __init__(
        self,
        model: PackedModel,
        queue: DocumentQueue,
        planner: PackPlanner,
        writer: TraceWriter,
        slots: TraceSlots,
        *,
        close_tokens: int,
        temperatures: Temperatures,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._queue = queue
        self._planner = planner
        self._writer = writer
        self._slots = slots
        self._close_tokens = close_tokens
        self._temperatures = temperatures
        self._clock = clock
        self._pace = Pace()
        self._owed = 0.0  # seconds that packs without traces have had since traces had as many

    @property
    def has_work(self) -> bool:
        return bool(self._queue or self._writer.traces)

    def add(self, documents: Iterable[Document]) -> None:
        self._queue.add(documents)

    def cancel(self, submission: Submission) -> None:
        """Forget what is left of a job."""
        self._planner.discard(submission)
        self._writer.discard(submission)

    def run_once(self) -> None:
        """One pack or one step; verdicts and failures go to their submissions."""
        self._meet_deadlines()
        pack = self._planner.plan() if self._pack_is_due() else None
        if pack is not None:
            self._run_pack(pack)
        elif self._writer.traces:
            self._run_step()

    def _pack_is_due(self) -> bool:
        """Packs and steps get equal time; what a deadline has cut short goes before both, traces first."""
        if not self._queue or self._writer.urgent:
            return False
        return not self._writer.traces or self._owed <= 0 or any(d.status is Status.DEADLINE for d in self._queue)

    def _run_pack(self, pack: Pack) -> None:
        begun = self._clock()
        try:
            self._finish_pack(pack)
        except Exception as error:  # noqa: BLE001 - whatever the model raises, its documents fail and others go on
            _fail(self._planner.abandon(pack), error)
            return
        seconds = self._clock() - begun
        self._pace.packed(pack.tokens, seconds)
        if self._writer.traces and not pack.rows:
            self._owed += seconds

    def _finish_pack(self, pack: Pack) -> None:
        hidden = self._model.prefill(pack.segments, self._slots)
        direct = [ending for ending in pack.endings if not ending.document.budget]
        traced = [ending for ending in pack.endings if ending.document.budget]
        words = self._model.verdicts(hidden[[ending.segment for ending in direct]])
        self._writer.begin(traced, hidden[[ending.segment for ending in traced]])
        documents = [ending.document for ending in direct]
        _deliver((d, self._verdict(d, w, Reading(d.status, d.trace, 0))) for d, w in zip(documents, words, strict=True))

    def _run_step(self) -> None:
        begun = self._clock()
        try:
            read = self._writer.step()
        except Exception as error:  # noqa: BLE001 - as above
            _fail(self._writer.abandon(), error)
            return
        seconds = self._clock() - begun
        self._pace.stepped(seconds)
        self._owed = max(0.0, self._owed - seconds) if self._writer.traces else 0.0
        _deliver((t.document, self._verdict(t.document, words, t.reading())) for t, words in read)

    def _meet_deadlines(self) -> None:
        """Close the traces whose deadline is near, and give up those that could not be begun in time."""
        now = self._clock()
        waiting = self._pace.token_seconds * min(self._planner.batch_tokens, sum(d.left for d in self._queue))
        reserve = self._pace.step_seconds * (self._close_tokens + 1)
        for trace in deadlines.traces_to_close(self._writer.traces, now + reserve + waiting):
            trace.end(Status.DEADLINE)
        late = deadlines.documents_to_hurry(self._queue, now + reserve, self._pace.token_seconds, self._planner.missing)
        for document in late:
            self._queue.remove(document)
            document.end_before_trace(Status.DEADLINE)
            document.priority = 0
            self._queue.add([document])

    def _verdict(self, document: Document, words: VerdictLogits, trace: Reading) -> Verdict:
        odds = self._temperatures.log_odds(true=words.true, false=words.false, trace_tokens=trace.tokens)
        return document.verdict(odds, trace.status, trace.text, trace.tokens)


def _deliver(verdicts: Iterable[tuple[Document, Verdict]]) -> None:
    by_submission: dict[Submission, list[Verdict]] = {}
    for document, verdict in verdicts:
        by_submission.setdefault(document.submission, []).append(verdict)
    for submission, batch in by_submission.items():
        submission.deliver(batch)


def _fail(documents: Sequence[Document], error: Exception) -> None:
    _log.error("forward_pass_failed", exc_info=error, extra={"documents": len(documents)})
    by_submission: dict[Submission, list[int]] = {}
    for document in documents:
        by_submission.setdefault(document.submission, []).append(document.index)
    for submission, indices in by_submission.items():
        submission.fail(indices, f"{type(error).__name__}: {error}")
