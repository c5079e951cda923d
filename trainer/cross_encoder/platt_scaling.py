"""Bias and temperature of the scores, fitted on pairs held out of training (Platt 1999).

log-odds = (score + bias) / temperature. A loss over groups leaves the bias undetermined, so it belongs to the model and
is added to its output; the temperature goes into the manifest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped]  # no types
from scipy.special import expit  # type: ignore[import-untyped]

Array = NDArray[np.float64]

_RIDGE = 1e-6  # keeps the fit finite when the labels are separable


def fit(scores: Sequence[float], relevant: Sequence[bool]) -> tuple[float, float]:
    """(bias, temperature) with the least log loss, by logistic regression; the temperature is within 0.05 to 20.

    Raises ValueError unless both labels occur.
    """
    if len(set(relevant)) != 2:
        raise ValueError("Calibration needs pairs of both labels.")
    features = np.stack([np.asarray(scores, dtype=np.float64), np.ones(len(scores))], axis=1)
    labels = np.asarray(relevant, dtype=np.float64)

    def loss(weights: Array) -> float:
        odds = features @ weights
        return float(np.sum(np.logaddexp(0.0, odds) - labels * odds) + _RIDGE / 2 * weights @ weights)

    def slope(weights: Array) -> Array:
        return np.asarray(features.T @ (expit(features @ weights) - labels) + _RIDGE * weights)

    def curvature(weights: Array) -> Array:
        chance = expit(features @ weights)
        return np.asarray((features * (chance * (1 - chance))[:, None]).T @ features + _RIDGE * np.eye(2))

    found = minimize(loss, np.array([1.0, 0.0]), jac=slope, hess=curvature, method="trust-exact", tol=1e-10)
    scale = float(np.clip(found.x[0], 0.05, 20.0))
    return float(found.x[1]) / scale, 1.0 / scale
