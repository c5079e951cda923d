"""What is fitted for one checkpoint, and its form in reranker.json.

    "adaptive": {"version": 1, "fingerprint", "on", "reason", "policy", "early_stop", "direct": [scale, offset],
                 "reasoned": [scale, offset], "reasoned_range": [low, high], "fusion": [direct, reasoned, offset],
                 "mean": [[x, y], ...], "spread": [[x, y], ...], "probe_spread": [[tokens, spread], ...],
                 "probe_tokens", "mean_tokens", "token_quantiles": {"0.5": ...}, "cap", "tolerance", "agreement"}

It stands outside the fingerprint of the manifest and names it: parameters of another fingerprint are not used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any

from contract.adaptive.curves import Curve, Line

VERSION = 1
_LARGEST = 1e6  # of any number: far beyond any log-odds


class AdaptiveError(ValueError):
    """Parameters that cannot be used. The message says why."""


class Policy(StrEnum):
    """The order in which documents are reasoned about: the best by their direct scores; at random; those whose own
    probability is nearest to one half; those nearest to the border of the top; or those that gain most for each
    token, at the border and within the top."""

    TOP = "top"
    RANDOM = "random"
    UNSURE = "unsure"
    BORDER = "border"
    GAIN = "gain"


@dataclass(frozen=True, slots=True)
class Parameters:
    """Maps from a checkpoint's scores to one calibrated scale, and what a trace changes and costs.

    `direct` and `reasoned` calibrate the log-odds of a direct and of a reasoned verdict, the latter limited to
    `reasoned_range` before; `fusion` (weight of direct, of reasoned, offset) joins both. `mean` maps calibrated direct
    log-odds to the mean of the fused ones, ascending; `spread` to their standard deviation; `probe_spread` a probe's
    place in the trace (tokens) to the standard deviation of the final fused log-odds around the probe's.
    `probe_tokens`: between two probes; `cap`: the longest trace recorded; `tolerance`: a document whose chance of the
    top is within so much of 0 or 1 is decided; `agreement`: probes that differ by less agree.
    """

    direct: Line
    reasoned: Line
    reasoned_range: tuple[float, float]
    fusion: tuple[float, float, float]
    mean: Curve
    spread: Curve
    probe_spread: Curve
    probe_tokens: int
    mean_tokens: float
    cap: int
    policy: Policy = Policy.TOP
    early_stop: bool = False
    tolerance: float = 0.01
    agreement: float = 0.5
    token_quantiles: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise AdaptiveError where they contradict themselves."""
        if self.direct.scale <= 0 or not self.mean.ascending:
            raise AdaptiveError("the map of direct scores is not ascending")
        if min(*self.spread.ys, *self.probe_spread.ys) < 0:
            raise AdaptiveError("a spread is negative")
        if self.probe_tokens < 1 or self.mean_tokens <= 0 or self.cap < 1:
            raise AdaptiveError("probe_tokens, mean_tokens and cap must be above 0")
        if not 0 <= self.tolerance < 0.5 or self.agreement < 0:
            raise AdaptiveError("tolerance must be in [0, 0.5), and agreement not negative")

    def unreasoned(self, direct: float) -> float:
        """The fused log-odds to expect of a document with this direct verdict."""
        return self.mean(self.direct(direct))

    def fused(self, direct: float, reasoned: float) -> float:
        """The fused log-odds of a document with both verdicts."""
        low, high = self.reasoned_range
        of_direct, of_reasoned, offset = self.fusion
        after = self.reasoned(min(max(reasoned, low), high))
        return of_direct * self.direct(direct) + of_reasoned * after + offset

    @property
    def median_tokens(self) -> float:
        """Of a trace."""
        return self.token_quantiles.get("0.5", self.mean_tokens)

    @property
    def cost(self) -> float:
        """Tokens that a trace takes on average, probes included."""
        return self.mean_tokens * (1 + 1 / self.probe_tokens) if self.early_stop else self.mean_tokens + 1

    def to_json(self) -> dict[str, Any]:
        return {
            "policy": self.policy.value,
            "early_stop": self.early_stop,
            "direct": [self.direct.scale, self.direct.offset],
            "reasoned": [self.reasoned.scale, self.reasoned.offset],
            "reasoned_range": list(self.reasoned_range),
            "fusion": list(self.fusion),
            "mean": knots(self.mean),
            "spread": knots(self.spread),
            "probe_spread": knots(self.probe_spread),
            "probe_tokens": self.probe_tokens,
            "mean_tokens": self.mean_tokens,
            "token_quantiles": dict(self.token_quantiles),
            "cap": self.cap,
            "tolerance": self.tolerance,
            "agreement": self.agreement,
        }


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether a checkpoint reasons at all in adaptive mode. `parameters` None: it answers as direct, for `reason`."""

    parameters: Parameters | None
    reason: str = ""

    def to_json(self, fingerprint: str) -> dict[str, Any]:
        """The value of `adaptive` in the manifest of this fingerprint."""
        fitted = {} if self.parameters is None else self.parameters.to_json()
        head = {"version": VERSION, "fingerprint": fingerprint, "on": self.parameters is not None}
        return {**head, "reason": self.reason, **fitted}


def read_gate(value: Mapping[str, Any] | None, fingerprint: str) -> Gate:
    """The gate that a manifest of this fingerprint states. What cannot be used closes it, with the reason."""
    if value is None:
        return Gate(None, "nothing was fitted for this checkpoint; run limrank-eval adaptive")
    if value.get("fingerprint") != fingerprint:
        return Gate(None, "its parameters were fitted for another fingerprint; run limrank-eval adaptive again")
    if value.get("version") != VERSION:
        return Gate(None, f"its parameters have version {str(value.get('version'))[:20]}, and this program reads 1")
    if value.get("on") is not True:
        return Gate(None, str(value.get("reason") or "it was switched off"))
    try:
        return Gate(parameters_from_json(value), str(value.get("reason", "")))
    except AdaptiveError as error:
        return Gate(None, f"its parameters cannot be used ({error})")


def parameters_from_json(value: Mapping[str, Any]) -> Parameters:
    """Raise AdaptiveError naming what does not fit."""
    with refusing():
        return Parameters(
            direct=Line(*_numbers(value, "direct", 2)),
            reasoned=Line(*_numbers(value, "reasoned", 2)),
            reasoned_range=_pair(_numbers(value, "reasoned_range", 2)),
            fusion=_triple(_numbers(value, "fusion", 3)),
            mean=read_curve(value, "mean", beyond=1.0),
            spread=read_curve(value, "spread"),
            probe_spread=read_curve(value, "probe_spread"),
            probe_tokens=int(read_number(value["probe_tokens"], "probe_tokens")),
            mean_tokens=read_number(value["mean_tokens"], "mean_tokens"),
            cap=int(read_number(value["cap"], "cap")),
            policy=Policy(value["policy"]),
            early_stop=value["early_stop"] is True,
            tolerance=read_number(value["tolerance"], "tolerance"),
            agreement=read_number(value["agreement"], "agreement"),
            token_quantiles={
                str(k): read_number(v, "token_quantiles") for k, v in dict(value["token_quantiles"]).items()
            },
        )


@contextmanager
def refusing() -> Iterator[None]:
    """Raise AdaptiveError for what is missing in a manifest, or of another kind, as it is read."""
    try:
        yield
    except KeyError as error:
        raise AdaptiveError(f"{error.args[0]} is missing") from None
    except AdaptiveError:
        raise
    except (TypeError, ValueError) as error:
        raise AdaptiveError(str(error)) from None


def knots(curve: Curve) -> list[list[float]]:
    """A curve as it is written."""
    return [list(point) for point in zip(curve.xs, curve.ys, strict=True)]


def read_curve(value: Mapping[str, Any], name: str, beyond: float = 0.0) -> Curve:
    """Raise AdaptiveError unless `name` holds the points of a curve."""
    points = [[read_number(part, name) for part in point] for point in value[name]]
    if not points or any(len(point) != 2 for point in points):
        raise AdaptiveError(f"{name} must hold points of two numbers")
    xs = tuple(x for x, _ in points)
    if any(left >= right for left, right in pairwise(xs)):
        raise AdaptiveError(f"the points of {name} are not ascending")
    return Curve(xs, tuple(y for _, y in points), beyond)


def _numbers(value: Mapping[str, Any], name: str, count: int) -> list[float]:
    found = [read_number(part, name) for part in value[name]]
    if len(found) != count:
        raise AdaptiveError(f"{name} must hold {count} numbers")
    return found


def read_number(value: Any, name: str) -> float:
    """Raise AdaptiveError, with the `name` of what holds it, unless it is a number of a usual size."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.fabs(value) <= _LARGEST:
        raise AdaptiveError(f"{name} holds {str(value)[:20]!r}, which is no number within a million of 0")
    return float(value)


def _pair(numbers: Sequence[float]) -> tuple[float, float]:
    low, high = numbers
    if low > high:
        raise AdaptiveError("reasoned_range ends before it begins")
    return low, high


def _triple(numbers: Sequence[float]) -> tuple[float, float, float]:
    one, two, three = numbers
    return one, two, three
