"""What is believed of each document's final score, and where the border of the top `k` lies.

After AcuRank (arXiv 2505.18512): the border t is where sum_i P(x_i > t) = k, and only documents whose probability to
be above it is neither near 0 nor near 1 are uncertain. A belief knows nothing of the stage it comes from, so documents
that stand at different stages (a first stage, a direct verdict, a trace that is half written) share one border.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_FAR = 9.0  # spreads from its mean beyond which a belief has no weight in double precision
_STEPS = 40  # of the bisection: a bracket of 100 shrinks to a ten-billionth
_ROOT_2 = math.sqrt(2.0)


@dataclass(frozen=True, slots=True)
class Belief:
    """The final log-odds of a document, normally distributed; `spread` 0: it is known."""

    mean: float
    spread: float

    def above(self, border: float) -> float:
        """The probability that it is above `border`; one half for a known score that is exactly there."""
        distance = border - self.mean
        if self.spread <= 0.0:
            return 0.5 if distance == 0.0 else float(distance < 0.0)
        return 0.5 * math.erfc(distance / self.spread / _ROOT_2)


def border(beliefs: Sequence[Belief], count: int) -> float | None:
    """Where as many documents are expected above as are wanted; None where all of them are wanted, or none.

    Between known scores any place will do, and the middle is taken: there no score is at the border itself.
    """
    if not 0 < count < len(beliefs):
        return None
    lows = sorted((b.mean - _FAR * b.spread for b in beliefs), reverse=True)
    highs = sorted((b.mean + _FAR * b.spread for b in beliefs), reverse=True)
    low, high = lows[count], highs[count - 1]
    # Only these have a probability between 0 and 1 anywhere in the bracket; the others are counted once.
    near = [b for b in beliefs if b.mean + _FAR * b.spread >= low and b.mean - _FAR * b.spread <= high]
    wanted = count - sum(b.mean - _FAR * b.spread > high for b in beliefs)
    first = _bisected(low, high, lambda at: sum(belief.above(at) for belief in near) > wanted)
    last = _bisected(first, high, lambda at: sum(belief.above(at) for belief in near) >= wanted)
    return 0.5 * (first + last)


def _bisected(low: float, high: float, below: Callable[[float], bool]) -> float:
    """Where `below` stops to hold between `low` and `high`."""
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        if below(middle):
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def chances(beliefs: Sequence[Belief], count: int) -> list[float]:
    """The probability of each document to be among the best `count`; 1 for all where all are wanted."""
    line = border(beliefs, count)
    if line is None:
        return [float(count > 0)] * len(beliefs)
    return [belief.above(line) for belief in beliefs]


def swaps(one: Belief, other: Belief) -> float:
    """The probability that the final scores of two documents are in the other order than their means."""
    spread = math.hypot(one.spread, other.spread)
    if spread <= 0.0:
        return 0.0
    return 0.5 * math.erfc(abs(one.mean - other.mean) / spread / _ROOT_2)
