"""Writes traces together, one token each per step; traces join when their prompt is computed and leave when read."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import Tensor

from contract.segments import Segments
from service.documents import Document, Submission
from service.engine import Status
from service.key_values import TraceSlots
from service.pack_planner import Ending
from service.packed_model import PackedModel, VerdictLogits
from service.traces import NextToken, Trace


class TraceWriter:
    """The traces being written; trace `i` is in row `i` of the slots."""

    def __init__(
        self, model: PackedModel, slots: TraceSlots, segments: Segments, end_ids: Collection[int], choose: NextToken
    ) -> None:
        self._model = model
        self._slots = slots
        self._segments = segments
        self._end_ids = frozenset(end_ids)
        self._choose = choose
        self.traces: list[Trace] = []

    @property
    def urgent(self) -> bool:
        """True when a deadline has closed a trace whose verdict is not read yet."""
        return any(trace.status is Status.DEADLINE for trace in self.traces)

    def begin(self, endings: Sequence[Ending], hidden: Tensor) -> None:
        """Start the traces of prompts that were computed into the last rows; `hidden` is the state after each."""
        if endings:
            traces = [Trace(e.document, e.cache, self._segments, self._end_ids) for e in endings]
            self._write(traces, hidden)
            self.traces += traces

    def step(self) -> list[tuple[Trace, VerdictLogits]]:
        """Feed every trace one token. Returns those whose verdict was read by it; they are gone from the slots."""
        fed = [trace.feed() for trace in self.traces]
        hidden = self._model.decode(fed, [trace.prefix for trace in self.traces], self._slots)
        open_rows = [row for row, trace in enumerate(self.traces) if not trace.closing]
        due_rows = [row for row, trace in enumerate(self.traces) if trace.verdict_due]
        read = [self.traces[row] for row in due_rows], self._model.verdicts(hidden[due_rows])
        if open_rows:
            self._write([self.traces[row] for row in open_rows], hidden[open_rows])
        for row in reversed(due_rows):
            self._drop(row)
        return list(zip(*read, strict=True))

    def discard(self, submission: Submission) -> None:
        """Forget the traces of a job."""
        for row in reversed(range(len(self.traces))):
            if self.traces[row].document.submission is submission:
                self._drop(row)

    def abandon(self) -> list[Document]:
        """Forget all traces after a step that failed; returns their documents."""
        documents = [trace.document for trace in self.traces]
        for row in reversed(range(len(self.traces))):
            self._drop(row)
        return documents

    def _write(self, traces: Sequence[Trace], hidden: Tensor) -> None:
        tokens = self._choose(self._model.next_logits(hidden), traces)
        for trace, token in zip(traces, tokens, strict=True):
            trace.write(token)

    def _drop(self, row: int) -> None:
        self._slots.drop(row)
        self.traces[row] = self.traces[-1]
        self.traces.pop()
