"""Monotone maps of scores, as knots: what fitted parameters are made of."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """`scale * x + offset`; a calibration of log-odds (Platt 1999)."""

    scale: float = 1.0
    offset: float = 0.0

    def __call__(self, x: float) -> float:
        return self.scale * x + self.offset


@dataclass(frozen=True, slots=True)
class Curve:
    """A piecewise linear function through the points (`xs[i]`, `ys[i]`), `xs` strictly ascending.

    Beyond its ends it goes on with slope `beyond`: 1 for a map of log-odds, 0 for a spread.
    """

    xs: Sequence[float]
    ys: Sequence[float]
    beyond: float = 0.0

    def __call__(self, x: float) -> float:
        xs, ys = self.xs, self.ys
        if x <= xs[0]:
            return ys[0] + self.beyond * (x - xs[0])
        if x >= xs[-1]:
            return ys[-1] + self.beyond * (x - xs[-1])
        right = bisect_right(xs, x)
        left = right - 1
        share = (x - xs[left]) / (xs[right] - xs[left])
        return ys[left] + share * (ys[right] - ys[left])

    @property
    def ascending(self) -> bool:
        """True where a larger x never has a smaller value."""
        return self.beyond >= 0 and all(low <= high for low, high in zip(self.ys, self.ys[1:], strict=False))
