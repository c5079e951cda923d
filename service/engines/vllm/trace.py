"""How a trace that vLLM wrote ended, and the ids its verdict is read after. Knows no vLLM."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from contract.segments import Segments
from service.engine import Status
from service.engines.causal.traces import loops

_LOOP_REACH = 256  # tokens `loops` looks back at, at most


@dataclass(frozen=True, slots=True)
class EndedTrace:
    """`ids`: what stands between the prompt and the verdict word, close included. `text` and `tokens`: the trace's."""

    ids: tuple[int, ...]
    text: str
    tokens: int
    status: Status


class TraceReader:
    """Reads what the model wrote. `end_ids` are the tokens that end a text."""

    def __init__(self, segments: Segments, end_ids: Collection[int]) -> None:
        self._segments = segments
        self.end_ids = frozenset(end_ids)

    def looped_at(self, written: Sequence[int], seen: int) -> int | None:
        """Where a loop that goes on to the end was complete, if anywhere behind the first `seen` tokens."""
        if not loops(written[-_LOOP_REACH:]):
            return None
        return next(n for n in range(seen + 1, len(written) + 1) if loops(written[max(0, n - _LOOP_REACH) : n]))

    def answered(self, written: Sequence[int], seen: int) -> bool:
        """True when the model closed its trace and wrote on; `seen`: so many of the ids were looked at before."""
        return any(self._segments.closes(written[:n]) for n in range(max(1, seen), len(written)))

    def read(self, written: Sequence[int], closed_because: Status | None) -> EndedTrace:
        """`closed_because`: why it was ended from outside, or None where the model or its budget ended it.

        A close of the model's own wins and keeps its ids, fused or not; in every other case ours is put.
        """
        if (found := self._segments.find_close(written)) is not None:
            return EndedTrace(found.ids, found.text, found.tokens, Status.COMPLETE)
        if written and written[-1] in self.end_ids:
            return self._cut(written[:-1], Status.END_OF_TEXT)
        return self._cut(written, closed_because or Status.BUDGET)

    def _cut(self, written: Sequence[int], status: Status) -> EndedTrace:
        ids = (*written, *self._segments.close)
        return EndedTrace(ids, self._segments.trace_text(written), len(written), status)
