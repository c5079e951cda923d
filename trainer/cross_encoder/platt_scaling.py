"""Where 0 lies and how wide the scores spread, fitted on pairs that were held out of training (Platt 1999).

log-odds = (score + bias) / temperature. A loss over groups leaves the bias open, so it belongs to the model and is
added to its output; the temperature goes into the manifest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_STEPS = 50
_RIDGE = 1e-6


def fit(scores: Sequence[float], relevant: Sequence[bool]) -> tuple[float, float]:
    """(bias, temperature) of the least log loss, by Newton's method; temperature within 0.05 to 20.

    Raise ValueError unless both labels occur.
    """
    if len(set(relevant)) != 2:
        raise ValueError("Calibration needs pairs of both labels.")
    features = np.stack([np.asarray(scores, dtype=np.float64), np.ones(len(scores))], axis=1)
    labels = np.asarray(relevant, dtype=np.float64)
    weights = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(features @ weights, -50, 50)))
        slope = features.T @ (chance - labels) + _RIDGE * weights
        curve = (features * (chance * (1 - chance))[:, None]).T @ features + _RIDGE * np.eye(2)
        step = np.linalg.solve(curve, slope)
        weights = weights - step * min(1.0, 5.0 / max(1e-12, float(np.abs(step).max())))
    scale = float(np.clip(weights[0], 0.05, 20.0))
    return float(weights[1]) / scale, 1.0 / scale
