"""Fuses a model's log-odds with the scores of a search that are on another scale: for service and evaluation alike.

The search's scores are brought to the mean and the spread of the model's log-odds on the same documents; the result is
a weighted mean of both. With a weight of 0 nothing is changed, with 1 the order is the search's. Worked out: the model
says -2, 0 and 2, the search 10, 30 and 20 (mean 20), which becomes -2, 2 and 0; with equal weights the three are -2, 1
and 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_RANK_FUSION = 60  # Cormack, Clarke and Buettcher 2009


def of_rank(rank: int) -> float:
    """The score of a rank, 1 for the best."""
    return 1 / (_RANK_FUSION + rank)


def fused_odds(odds: Sequence[float], scores: Sequence[float], weight: float) -> list[float]:
    """The fused log-odds of each document. `weight` of the scores, 0 to 1."""
    if not weight or len(odds) < 2 or (given := alike(scores, odds)) is None:
        return list(odds)
    return [(1 - weight) * own + weight * other for own, other in zip(odds, given, strict=True)]


def alike(scores: Sequence[float], odds: Sequence[float]) -> list[float] | None:
    """`scores` with the mean and the spread of `odds`; where these are all the same, with a spread of 1. None where the
    scores are all the same, and so say nothing."""
    most = max(map(abs, scores))
    if min(scores) == max(scores):
        return None
    scaled = [score / most for score in scores]  # finite sums of squares, whatever the scale
    mean, spread = _moments(scaled)
    if spread == 0.0:
        return None
    to_mean, to_spread = _moments(odds)
    return [to_mean + (to_spread or 1.0) * (score - mean) / spread for score in scaled]


def _moments(values: Sequence[float]) -> tuple[float, float]:
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
