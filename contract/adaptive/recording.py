"""A trace of every document with the verdict at even distances: what parameters are fitted on and policies replayed on.

Run like a `Race`, by whoever runs one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from contract.adaptive.race import Ask, Read
from contract.reasoning import Status


@dataclass(slots=True)
class Trace:
    """The verdicts behind a trace, each with the tokens before it; the last stands behind the end."""

    reads: list[Read] = field(default_factory=list)
    outcome: Status | None = None

    @property
    def tokens(self) -> int:
        return self.reads[-1].tokens if self.reads else 0


class Recording:
    """Writes all traces to their end, or to `cap` tokens, with a probe every `distance` tokens."""

    in_pieces = True

    def __init__(self, documents: int, distance: int, cap: int) -> None:
        self._distance, self._cap = distance, cap
        self.traces: Sequence[Trace] = [Trace() for _ in range(documents)]

    def wave(self) -> list[Ask]:
        """The next piece of every trace that goes on; [] once all have ended."""
        going = [(i, trace) for i, trace in enumerate(self.traces) if trace.outcome is None]
        return [Ask(i, min(self._distance, self._cap - trace.tokens)) for i, trace in going]

    def took(self, index: int, read: Read) -> None:
        """Record what came of an ask."""
        trace = self.traces[index]
        trace.reads.append(read)
        trace.outcome = read.ended or (Status.BUDGET if read.tokens >= self._cap else None)

    def end(self, outcome: Status) -> None:
        """Stop here."""
        for trace in self.traces:
            trace.outcome = trace.outcome or outcome
