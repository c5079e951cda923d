"""Fits the parameters of adaptive mode on recorded traces of labelled pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.adaptive.curves import Curve, Line
from contract.adaptive.parameters import Parameters
from evaluation.adaptive.traces import RecordedQuery, RecordedTrace
from evaluation.errors import BadData

Values = NDArray[np.float64]

_BINS = 20
_LEAST_IN_BIN = 20  # pairs that a bin's spread is taken of
_LEAST_SPREAD = 0.05
_RIDGE = 1e-3  # of the squared weights: separable labels have no finite fit otherwise
_RANGE = (0.005, 0.995)  # quantiles beyond which a reasoned verdict says no more
_QUANTILES = (0.1, 0.5, 0.9)
_DIGITS = 6


def fit(queries: Sequence[RecordedQuery], distance: int, cap: int) -> Parameters:
    """The parameters of these queries. `distance`: of the recorded probes; `cap`: of the recorded traces, in tokens.

    Raises BadData where the pairs do not tell relevant from irrelevant ones.
    """
    traces = [trace for query in queries for trace in query.traces]
    labels = np.asarray([label for query in queries for label in query.relevant], dtype=np.float64)
    _check(traces, labels)
    direct_raw = np.asarray([trace.direct for trace in traces])
    reasoned_raw = np.asarray([trace.reasoned for trace in traces])
    low, high = (round(float(value), _DIGITS) for value in np.quantile(reasoned_raw, _RANGE))
    direct = _platt(direct_raw, labels)
    reasoned = _platt(np.clip(reasoned_raw, low, high), labels)
    if direct.scale <= 0:
        raise BadData("The direct scores do not rise with relevance: no map of them keeps their order.")
    calibrated = direct.scale * direct_raw + direct.offset
    after = reasoned.scale * np.clip(reasoned_raw, low, high) + reasoned.offset
    weights = _logistic_regression(np.column_stack([calibrated, after]), labels)
    fused = weights[0] * calibrated + weights[1] * after + weights[2]
    tokens = np.asarray([trace.tokens for trace in traces], dtype=np.float64)
    mean, spread = change(calibrated, fused)
    made = _Made(direct, reasoned, (low, high), (weights[0], weights[1], weights[2]))
    return Parameters(
        direct=direct,
        reasoned=reasoned,
        reasoned_range=(low, high),
        fusion=(weights[0], weights[1], weights[2]),
        mean=mean,
        spread=spread,
        probe_spread=_probe_spread(traces, made.fused, distance, float(spread.ys[len(spread.ys) // 2])),
        probe_tokens=_spacing(float(np.median(tokens)), distance),
        mean_tokens=round(max(1.0, float(tokens.mean())), 2),
        cap=cap,
        token_quantiles={str(q): round(float(np.quantile(tokens, q)), 1) for q in _QUANTILES},
    )


@dataclass(frozen=True, slots=True)
class _Made:
    """The maps of both verdicts."""

    direct: Line
    reasoned: Line
    bounds: tuple[float, float]
    weights: tuple[float, float, float]

    def fused(self, direct: float, reasoned: float) -> float:
        after = self.reasoned(min(max(reasoned, self.bounds[0]), self.bounds[1]))
        return self.weights[0] * self.direct(direct) + self.weights[1] * after + self.weights[2]


def isotonic(values: Values, weights: Values) -> list[tuple[int, int, float]]:
    """The ascending sequence nearest to `values`: blocks as (first, behind the last, mean), by pooling violators."""
    blocks: list[tuple[int, int, float, float]] = []
    for place, (value, weight) in enumerate(zip(values.tolist(), weights.tolist(), strict=True)):
        first, mean, total = place, value, weight
        while blocks and blocks[-1][2] >= mean:
            first, _, before, of_before = blocks.pop()
            mean = (mean * total + before * of_before) / (total + of_before)
            total += of_before
        blocks.append((first, place + 1, mean, total))
    return [(first, last, mean) for first, last, mean, _ in blocks]


def _check(traces: Sequence[RecordedTrace], labels: Values) -> None:
    if not 0 < labels.sum() < len(labels):
        raise BadData(f"Of {len(labels)} recorded pairs {int(labels.sum())} are relevant; both kinds are needed.")
    if not any(trace.tokens for trace in traces):
        raise BadData("No recorded trace has a token: the model writes no reasoning.")


def _spacing(median: float, distance: int) -> int:
    """A quarter of the median trace, as a multiple of the recorded distance."""
    return max(1, round(median / 4 / distance)) * distance


def _platt(values: Values, labels: Values) -> Line:
    scale, offset = _logistic_regression(values[:, None], labels, signed=True)
    return Line(scale, offset)


def _logistic_regression(columns: Values, labels: Values, *, signed: bool = False) -> list[float]:
    """Weights of the columns (pairs, features) and an offset, with the least log loss; no weight is below 0 unless
    `signed`."""
    from scipy.optimize import minimize  # type: ignore[import-untyped]  # here, as it takes long to import

    features = np.column_stack([columns, np.ones(len(labels))])
    signs = np.where(labels > 0, -1.0, 1.0)

    def loss(weights: Values) -> tuple[float, Values]:
        odds = features @ weights
        pull = signs / (1 + np.exp(-np.clip(signs * odds, -700, 700)))
        value = float(np.mean(np.logaddexp(0.0, signs * odds)) + _RIDGE * np.sum(weights[:-1] ** 2) / 2)
        slope = features.T @ pull / len(labels) + _RIDGE * np.append(weights[:-1], 0.0)
        return value, slope

    bounds = [(None if signed else 0.0, None)] * columns.shape[1] + [(None, None)]
    found = minimize(loss, np.zeros(features.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds)
    return [round(float(weight), _DIGITS) for weight in found.x]


def change(before: Values, after: Values) -> tuple[Curve, Curve]:
    """Mean, ascending, and spread of the log-odds `after` by those `before`, in bins of equally many pairs."""
    order = np.argsort(before, kind="stable")
    count = max(1, min(_BINS, len(order) // _LEAST_IN_BIN))
    bins = [part for part in np.array_split(order, count) if len(part)]
    centres = np.asarray([before[part].mean() for part in bins])
    means = np.asarray([after[part].mean() for part in bins])
    sizes = np.asarray([float(len(part)) for part in bins])
    points = [
        (float(np.average(centres[first:last], weights=sizes[first:last])), mean)
        for first, last, mean in isotonic(means, sizes)
    ]
    mean = _curve(points, beyond=1.0)
    residual = [after[part] - [mean(float(value)) for value in before[part]] for part in bins]
    spreads = np.asarray([math.sqrt(float(np.mean(values**2))) for values in residual])
    return mean, _curve(list(zip(centres.tolist(), _smoothed(spreads).tolist(), strict=True)))


def _smoothed(values: Values) -> Values:
    """Each with its neighbours, and never below the least spread."""
    padded = np.concatenate([values[:1], values, values[-1:]])
    return np.asarray(np.maximum(_LEAST_SPREAD, (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4), dtype=np.float64)


def _curve(points: Sequence[tuple[float, float]], beyond: float = 0.0) -> Curve:
    """Points rounded as they are written, those that fall together left out."""
    kept: dict[float, float] = {}
    for x, y in points:
        kept[round(x, _DIGITS)] = round(y, _DIGITS)
    return Curve(tuple(sorted(kept)), tuple(kept[x] for x in sorted(kept)), beyond)


def _probe_spread(
    traces: Sequence[RecordedTrace], fused: Callable[[float, float], float], distance: int, fallback: float
) -> Curve:
    """How far the final fused log-odds are from those of a probe, of the traces that went on there."""
    by_place: dict[int, list[float]] = {}
    for trace in traces:
        final = fused(trace.direct, trace.reasoned)
        for tokens, odds in trace.probes[1:-1]:
            by_place.setdefault(tokens, []).append(final - fused(trace.direct, odds))
    points = [
        (float(tokens), max(_LEAST_SPREAD, math.sqrt(sum(change**2 for change in changes) / len(changes))))
        for tokens, changes in sorted(by_place.items())
        if len(changes) >= _LEAST_IN_BIN
    ]
    return _curve(points or [(float(distance), max(_LEAST_SPREAD, fallback))])
