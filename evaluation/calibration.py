"""Whether a score of 0.8 is right 8 times in 10: expected calibration error, and the one temperature that mends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15
HOTTEST, COLDEST = 20.0, 0.05


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs of neighbouring scores: how many, the mean score, and the share of them that is relevant."""

    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """`error` is the expected calibration error: the mean gap between confidence and accuracy, weighted by count.
    `brier` and `log_loss` (natural log) are proper scores of the same probabilities."""

    error: float
    brier: float
    log_loss: float
    bins: tuple[Bin, ...]


def calibration(log_odds: Sequence[float], relevant: Sequence[bool], *, bins: int = BINS) -> Calibration:
    """Of the probabilities sigmoid(log_odds), in bins that hold equally many pairs (Nguyen and O'Connor 2015)."""
    odds, labels = np.asarray(log_odds, dtype=np.float64), np.asarray(relevant, dtype=np.float64)
    probabilities = _sigmoid(odds)
    order = np.argsort(odds, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    found = tuple(Bin(len(part), float(probabilities[part].mean()), float(labels[part].mean())) for part in parts)
    gaps = sum(one.count * abs(one.confidence - one.accuracy) for one in found)
    brier = float(np.mean((probabilities - labels) ** 2)) if len(odds) else 0.0
    return Calibration(gaps / max(1, len(odds)), brier, log_loss(odds, labels), found)


def fit_temperature(log_odds: Sequence[float], relevant: Sequence[bool]) -> float:
    """The one number that the log-odds are divided by for the least log loss (Guo et al. 2017).

    The loss is convex in 1 / temperature, so a golden-section search over that finds it. Kept within 0.05 to 20.
    """
    odds, labels = np.asarray(log_odds, dtype=np.float64), np.asarray(relevant, dtype=np.float64)
    low, high = 1.0 / HOTTEST, 1.0 / COLDEST
    ratio = (5**0.5 - 1) / 2
    for _ in range(100):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if log_loss(odds * left, labels) <= log_loss(odds * right, labels):
            high = right
        else:
            low = left
    return 2.0 / (low + high)


def log_loss(odds: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """The mean of -log p(label), without overflow."""
    if not len(odds):
        return 0.0
    return float(np.mean(np.logaddexp(0.0, np.where(labels > 0, -odds, odds))))


def _sigmoid(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-np.logaddexp(0.0, -odds)), dtype=np.float64)
