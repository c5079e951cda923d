"""What a scorer of (query, text) pairs does; `scorers` has two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

Pairs = Sequence[tuple[str, str]]
Report = Callable[[int, int], None]


class PairScorer(Protocol):
    """Scores pairs; larger is closer."""

    def scores(self, pairs: Pairs, report: Report | None = None) -> list[float]: ...

    def probability(self, score: float) -> float:
        """The probability that a passage with this score is relevant."""
        ...
