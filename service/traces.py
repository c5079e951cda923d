"""A trace while it is written: when it ends and why, and what is still to be fed before its verdict is read."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from contract.segments import Segments
from service.documents import Document
from service.engine import Status
from service.key_values import KeyValues

_LONGEST_PERIOD = 64
_LOOP_TOKENS = 48  # so many tokens that repeat those one period earlier are a loop ...
_LOOP_COPIES = 3  # ... if the period comes back at least so many times


@dataclass(frozen=True, slots=True)
class Reading:
    """A trace as its verdict reports it. `text` is None in direct mode."""

    status: Status
    text: str | None
    tokens: int


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


def loops(written: Sequence[int]) -> bool:
    """True when the end of `written` is one piece over and over: of up to 64 tokens, through at least 48."""
    return any(_repeated(written, period) for period in range(1, _LONGEST_PERIOD + 1))


def _repeated(written: Sequence[int], period: int) -> bool:
    needed = max(_LOOP_TOKENS, _LOOP_COPIES * period)
    if len(written) < needed + period:
        return False
    return all(written[-at] == written[-at - period] for at in range(1, needed + 1))
