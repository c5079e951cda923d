"""Whether a checkpoint should reason at all, and by which policy: the simplest that ties with the best.

Decided on the queries that parameters are fitted on, in two halves: each half is measured with the parameters of the
other, so that no query decides with what it was fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from contract.adaptive.parameters import Gate, Parameters, Policy
from evaluation.adaptive.crossing import check_enough, crossed
from evaluation.adaptive.fitting import fit
from evaluation.adaptive.replay import DIRECT, FUSED, TOKENS, Replayed, Variant
from evaluation.adaptive.traces import RecordedQuery
from evaluation.significance import Paired, paired

TRACES = 10  # median ones, in the budget for which the policy is chosen: the service's own default
# The candidates, the simplest first. Random order and the nearest to one half are controls.
SIMPLEST_FIRST = tuple(
    Variant(policy.value, policy, early)
    for policy in (Policy.TOP, Policy.BORDER, Policy.GAIN)
    for early in (False, True)
)


@dataclass(frozen=True, slots=True)
class Decision:
    """The gate, the gain over direct that decided (all documents reasoned about and fused; and the chosen policy within
    the default budget), and the policy that was chosen."""

    gate: Gate
    parameters: Parameters
    fused: Paired
    chosen: Paired
    variant: Variant

    def stated(self) -> dict[str, Any]:
        """What an `AdaptiveResult` says of it."""
        return {
            "on": self.gate.parameters is not None,
            "reason": self.gate.reason,
            "policy": self.variant.name,
            "early_stop": self.variant.early_stop,
            "budget": self.variant.budget or 0,
            "parameters": self.parameters.to_json(),
        }


def decide(queries: Sequence[RecordedQuery], distance: int, cap: int) -> Decision:
    """Fit and decide. Raises BadData for too few queries, or pairs that parameters cannot be fitted on."""
    check_enough(queries)
    parameters = fit(queries, distance, cap)
    budget = round(TRACES * parameters.median_tokens)
    variants = [replace(variant, budget=budget) for variant in SIMPLEST_FIRST]
    return decided(parameters, variants, crossed(queries, variants, partial(fit, distance=distance, cap=cap)))


def decided(
    parameters: Parameters, variants: Sequence[Variant], found: Mapping[Variant, Replayed], counted: str = TOKENS
) -> Decision:
    """The decision between `variants`, the simplest first, by how they and the baselines were measured. `counted`: what
    budgets count."""
    direct, whole = found[DIRECT].values, found[FUSED].values
    gain = paired(whole, direct)
    variant = _simplest(variants, found)
    chosen = paired(found[variant].values, direct)
    reason = _reason(gain, chosen, variant, len(direct), counted)
    on = gain.difference.low > 0 and chosen.difference.low > 0
    assert variant.policy is not None
    parameters = replace(parameters, policy=variant.policy, early_stop=variant.early_stop)
    return Decision(Gate(parameters if on else None, reason), parameters, gain, chosen, variant)


def _simplest(variants: Sequence[Variant], found: Mapping[Variant, Replayed]) -> Variant:
    """The first that is not worse than the best beyond noise."""
    values = {variant: found[variant].values for variant in variants}
    best = max(variants, key=lambda variant: sum(values[variant].values()))
    return next(v for v in variants if v is best or paired(values[v], values[best]).difference.high >= 0)


def _reason(fused: Paired, chosen: Paired, variant: Variant, queries: int, counted: str) -> str:
    early = " with early stops" if variant.early_stop else ""
    return (
        f"nDCG@10 against direct on {queries} queries: reasoning on all, fused, {_interval(fused)}; "
        f"{variant.name}{early} within {variant.budget} {counted} {_interval(chosen)}"
    )


def _interval(found: Paired) -> str:
    return f"{found.difference.mean:+.4f} [{found.difference.low:+.4f}, {found.difference.high:+.4f}]"
