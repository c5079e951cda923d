"""Writes traces together, one token each per step; traces join when their prompt is computed and leave when read."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from typing import Protocol

from torch import Tensor

from contract.segments import Segments
from service.engine import Status
from service.engines.causal.sequences import Document, Submission
from service.engines.causal.traces import Reading, loops
from service.engines.transformers.kv_cache import KeyValues, TraceSlots
from service.engines.transformers.model import PackedModel, VerdictLogits
from service.engines.transformers.scheduler import Ending


class Trace:
    """The trace of one document. `prefix` holds the tokens before its own; `written` is what the model wrote."""

    def __init__(self, document: Document, prefix: KeyValues, segments: Segments, end_ids: Collection[int]) -> None:
        self.document = document
        self.prefix = prefix
        self.written: list[int] = []
        self.status: Status | None = None
        self._segments = segments
        self._end_ids = end_ids
        self._to_feed: deque[int] = deque()

    @property
    def closing(self) -> bool:
        """True when nothing more is written and only the close and the verdict are left."""
        return self.status is not None

    @property
    def verdict_due(self) -> bool:
        """True when all is fed, so that the last hidden state is the one the verdict is read from."""
        return self.closing and not self._to_feed

    def feed(self) -> int:
        """The next token for the model."""
        return self._to_feed.popleft()

    def write(self, token: int) -> None:
        """Take the token the model chose, and find out whether it ends the trace."""
        if token in self._end_ids:
            self.end(Status.END_OF_TEXT)
            return
        self.written.append(token)
        self._to_feed.append(token)
        if self._segments.closes(self.written):
            self.status = Status.COMPLETE
        elif len(self.written) >= self.document.budget:
            self.end(Status.BUDGET)
        elif loops(self.written):
            self.end(Status.REPETITION)

    def end(self, status: Status) -> None:
        """Close the trace where it is, with the canonical close."""
        if not self.closing:
            self.status = status
            self._to_feed.extend(self._segments.close)

    def reading(self) -> Reading:
        """What was written, once it is closed."""
        status = self.status or Status.COMPLETE
        if status is Status.COMPLETE and (found := self._segments.find_close(self.written)):
            return Reading(status, found.text, found.tokens)
        return Reading(status, self._segments.trace_text(self.written), len(self.written))


class NextToken(Protocol):
    """How the next token of each trace is chosen."""

    def __call__(self, logits: Tensor, traces: Sequence[Trace]) -> list[int]:
        """`logits` (traces, vocabulary) after what each trace has so far; returns one id per trace."""
        ...


def greedy(logits: Tensor, traces: Sequence[Trace]) -> list[int]:
    """The most likely token: the same trace every time."""
    chosen: list[int] = logits.argmax(dim=-1).tolist()
    return chosen


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
