"""How many documents of a first stage's ranking can still reach the top of the served model's.

Fitted for a pair of models, it stands in the served model's reranker.json, outside the fingerprint, and names the
fingerprints of both:

    "first_stage": {"version": 1, "fingerprint", "first": {"name", "fingerprint"}, "mean": [[x, y], ...],
                    "spread": [[x, y], ...], "tolerance"}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.adaptive.beliefs import Belief, chances
from contract.adaptive.curves import Curve
from contract.adaptive.parameters import AdaptiveError, knots, read_curve, read_number, refusing

VERSION = 1


@dataclass(frozen=True, slots=True)
class Reaching:
    """`mean` maps the log-odds of a first stage's verdict to the mean of the served model's direct ones, ascending;
    `spread` to their standard deviation. A document whose chance of the top is less than `tolerance` cannot reach it.
    """

    mean: Curve
    spread: Curve
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        """Raise AdaptiveError where they contradict themselves."""
        if not self.mean.ascending:
            raise AdaptiveError("the map of the first stage's scores is not ascending")
        if min(self.spread.ys) < 0:
            raise AdaptiveError("a spread is negative")
        if not 0 <= self.tolerance < 0.5:
            raise AdaptiveError("tolerance must be in [0, 0.5)")

    def count(self, odds: Sequence[float], top: int) -> int:
        """How many of the documents with these log-odds of the first stage may be among the best `top`: at least so
        many, at most all."""
        if top >= len(odds):
            return len(odds)
        among = chances([Belief(self.mean(each), self.spread(each)) for each in odds], top)
        return max(top, sum(chance >= self.tolerance for chance in among))

    def to_json(self, fingerprint: str, first: str, first_fingerprint: str) -> dict[str, Any]:
        """The value of `first_stage` in the manifest of this fingerprint. `first` names the other model."""
        return {
            "version": VERSION,
            "fingerprint": fingerprint,
            "first": {"name": first, "fingerprint": first_fingerprint},
            "mean": knots(self.mean),
            "spread": knots(self.spread),
            "tolerance": self.tolerance,
        }


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a manifest says of a pair of models. `reaching` None: nothing that can be used, for `reason`."""

    reaching: Reaching | None
    reason: str = ""


NOTHING = Fitted(None, "nothing was fitted for these two models; run limrank-eval cascade with --write")


def read_reaching(value: Mapping[str, Any] | None, fingerprint: str, first_fingerprint: str) -> Fitted:
    """What the manifest with this fingerprint says of a first stage with that one."""
    if value is None:
        return NOTHING
    first = value.get("first")
    if value.get("fingerprint") != fingerprint:
        return Fitted(None, "it was fitted for another fingerprint; run limrank-eval cascade with --write again")
    if not isinstance(first, dict) or first.get("fingerprint") != first_fingerprint:
        return Fitted(None, "it was fitted for another first stage; run limrank-eval cascade with --write again")
    if value.get("version") != VERSION:
        return Fitted(None, f"it has version {str(value.get('version'))[:20]}, and this program reads {VERSION}")
    try:
        with refusing():
            return Fitted(
                Reaching(
                    read_curve(value, "mean", beyond=1.0),
                    read_curve(value, "spread"),
                    read_number(value["tolerance"], "tolerance"),
                )
            )
    except AdaptiveError as error:
        return Fitted(None, f"it cannot be used ({error})")
