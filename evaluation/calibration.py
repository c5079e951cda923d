"""Calibration of scores: the expected calibration error, and the temperature that corrects it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15
HOTTEST, COLDEST = 20.0, 0.05


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs with neighbouring scores: their number, mean score, and share of relevant ones."""

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
    curve: tuple[Bin, ...]


def calibration(log_odds: Sequence[float], relevant: Sequence[bool], *, bins: int = BINS) -> Calibration:
    """Calibration of the probabilities sigmoid(log_odds), in bins with equal numbers of pairs (Nguyen and O'Connor
    2015)."""
    odds, labels = np.asarray(log_odds, dtype=np.float64), np.asarray(relevant, dtype=np.float64)
    probabilities = _sigmoid(odds)
    order = np.argsort(odds, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    found = tuple(Bin(len(part), float(probabilities[part].mean()), float(labels[part].mean())) for part in parts)
    gaps = sum(part.count * abs(part.confidence - part.accuracy) for part in found)
    brier = float(np.mean((probabilities - labels) ** 2)) if len(odds) else 0.0
    return Calibration(gaps / max(1, len(odds)), brier, log_loss(odds, labels), found)


def fit_temperature(log_odds: Sequence[float], relevant: Sequence[bool]) -> float:
    """The temperature in [0.05, 20] with the least log loss (Guo et al. 2017); log-odds are divided by it.

    Searches over 1 / temperature, in which the loss is convex.
    """
    from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]  # imported here: slow to import

    odds, labels = np.asarray(log_odds, dtype=np.float64), np.asarray(relevant, dtype=np.float64)
    bounds = (1.0 / HOTTEST, 1.0 / COLDEST)

    def loss(scale: float) -> float:
        return log_loss(odds * scale, labels)

    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    return float(1.0 / min((*bounds, found.x), key=loss))  # the search approaches a bound but never reaches it


def log_loss(odds: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """The mean of -log p(label), without overflow."""
    if not len(odds):
        return 0.0
    return float(np.mean(np.logaddexp(0.0, np.where(labels > 0, -odds, odds))))


def _sigmoid(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-np.logaddexp(0.0, -odds)), dtype=np.float64)
