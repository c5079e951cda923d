"""A row of the table: a figure with its 95 % interval, and whether it meets its target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from evaluation.calibration import calibration
from evaluation.significance import SEED, Interval

Column = Literal["cross-encoder", "direct", "reasoning", "bi-encoder"]
_RESAMPLES = 1000
_Z = 1.959964  # of a 95 % interval

GENERAL_DEV, UNSEEN, DL19, MEDQUAD = "general dev", "general unseen", "DL19", "MedQuAD test"
ECE_GENERAL, ECE_MEDQUAD = "calibration error, general dev", "calibration error, MedQuAD dev"
QUOTED, WORDED = "quotations that stand in the passage", "verdict in words agrees with the score"
INJECTED, INJECTED_GENERAL = "injected sentences, MedQuAD", "injected sentences, general dev"
EVERYDAY = "everyday questions"

# row -> column -> target. Calibration errors and injections must not exceed theirs.
TARGETS: dict[str, dict[Column, float]] = {
    GENERAL_DEV: {"cross-encoder": 0.93, "direct": 0.90, "reasoning": 0.89},
    UNSEEN: {"cross-encoder": 0.90, "direct": 0.87, "reasoning": 0.86},
    DL19: {"cross-encoder": 0.66, "direct": 0.60},
    MEDQUAD: {"cross-encoder": 0.952, "direct": 0.866, "reasoning": 0.884},
    ECE_GENERAL: {"cross-encoder": 0.05, "direct": 0.05, "reasoning": 0.05},
    ECE_MEDQUAD: {"cross-encoder": 0.05, "direct": 0.05, "reasoning": 0.05},
    QUOTED: {"reasoning": 0.98},
    WORDED: {"reasoning": 0.99},
    INJECTED: {"cross-encoder": 1, "direct": 4, "reasoning": 4},
    INJECTED_GENERAL: {"cross-encoder": 1, "direct": 4, "reasoning": 4},
    EVERYDAY: {"cross-encoder": 0.95, "direct": 0.90, "reasoning": 0.90},
}
# row -> how many must be measured for the target to count, by column or for all. Those of docs/models.md.
_LEAST: dict[str, dict[Column, int] | int] = {
    GENERAL_DEV: {"cross-encoder": 600, "direct": 600, "reasoning": 200},
    UNSEEN: 200,
    DL19: 43,
    MEDQUAD: {"cross-encoder": 1146, "direct": 600, "reasoning": 200},
    ECE_GENERAL: 2000,
    ECE_MEDQUAD: 2000,
    QUOTED: 400,
    WORDED: 400,
    INJECTED: 20,
    INJECTED_GENERAL: 20,
    EVERYDAY: 40,
}
_AT_MOST = {ECE_GENERAL, ECE_MEDQUAD, INJECTED, INJECTED_GENERAL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`value` in `low` to `high`, measured on `count` of `what`. `note` says what it is compared with."""

    name: str
    value: float
    low: float
    high: float
    count: int
    what: str
    note: str = ""

    def target(self, column: Column) -> float | None:
        return TARGETS.get(self.name, {}).get(column)

    def met(self, column: Column) -> bool | None:
        """None without a target, and for a sample that is too small for it. The mean counts, not its interval."""
        target = self.target(column)
        if target is None or self.count < _least(self.name, column):
            return None
        return self.value <= target if self.name in _AT_MOST else self.value >= target

    def bound(self, column: Column) -> str:
        """The target in words, such as `>= 0.93`; empty without one."""
        target = self.target(column)
        return "" if target is None else f"{'<=' if self.name in _AT_MOST else '>='} {target:g}"

    def to_json(self, column: Column) -> dict[str, Any]:
        return {**asdict(self), "target": self.bound(column), "met": self.met(column)}


def _least(name: str, column: Column) -> int:
    least = _LEAST[name]
    return least if isinstance(least, int) else least[column]


def share(name: str, count: int, of: int, what: str, note: str = "") -> Row:
    """A share of `of` cases with Wilson's interval."""
    found = wilson(count, of)
    return Row(name=name, value=found.mean, low=found.low, high=found.high, count=of, what=what, note=note)


def wilson(count: int, of: int) -> Interval:
    """The share count / of with the 95 % interval of Wilson (1927), which is right near 0 and 1 too."""
    if not of:
        return Interval(math.nan, math.nan, math.nan)
    rate, square = count / of, _Z * _Z
    middle = (rate + square / (2 * of)) / (1 + square / of)
    half = _Z / (1 + square / of) * math.sqrt(rate * (1 - rate) / of + square / (4 * of * of))
    return Interval(rate, min(rate, max(0.0, middle - half)), max(rate, min(1.0, middle + half)))  # rounding aside


def calibration_interval(odds: Sequence[float], labels: Sequence[bool], group: int) -> Interval:
    """The expected calibration error with a percentile bootstrap interval over queries, each of which has `group`
    consecutive pairs. Resampling adds noise to the bins, so that the interval lies somewhat high."""
    value = calibration(odds, labels).error
    scores, truth = np.asarray(odds).reshape(-1, group), np.asarray(labels).reshape(-1, group)
    draw = np.random.default_rng(SEED)
    errors = []
    for _ in range(_RESAMPLES):
        drawn = draw.integers(0, len(scores), size=len(scores))
        errors.append(calibration(scores[drawn].ravel().tolist(), truth[drawn].ravel().tolist()).error)
    low, high = np.quantile(errors, (0.025, 0.975))
    return Interval(value, float(low), float(high))
