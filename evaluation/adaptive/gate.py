"""Whether a checkpoint should reason at all, and by which policy: the simplest that ties with the best.

Decided on the queries that parameters are fitted on, in two halves: each half is measured with the parameters of the
other, so that no query decides with what it was fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from contract.adaptive.parameters import Gate, Parameters, Policy
from evaluation.adaptive.fitting import fit
from evaluation.adaptive.replay import DIRECT, FUSED, Replayed, Variant, baselines, replay
from evaluation.adaptive.traces import RecordedQuery
from evaluation.errors import BadData
from evaluation.metrics import PerQuery
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


def decide(queries: Sequence[RecordedQuery], distance: int, cap: int) -> Decision:
    """Fit and decide. Raises BadData for too few queries, or pairs that parameters cannot be fitted on."""
    if len(queries) < 4:
        raise BadData(f"Only {len(queries)} queries with candidates to fit on; at least 4 are needed, 200 are better.")
    parameters = fit(queries, distance, cap)
    budget = round(TRACES * parameters.median_tokens)
    variants = [replace(variant, budget=budget) for variant in SIMPLEST_FIRST]
    found = _crossed(queries, variants, distance, cap)
    direct, whole = found[DIRECT], found[FUSED]
    gain = paired(whole, direct)
    variant = _simplest(variants, found)
    chosen = paired(found[variant], direct)
    reason = _reason(gain, chosen, variant, len(queries))
    on = gain.difference.low > 0 and chosen.difference.low > 0
    assert variant.policy is not None
    parameters = replace(parameters, policy=variant.policy, early_stop=variant.early_stop)
    return Decision(Gate(parameters if on else None, reason), parameters, gain, chosen, variant)


def _crossed(
    queries: Sequence[RecordedQuery], variants: Sequence[Variant], distance: int, cap: int
) -> dict[Variant, PerQuery]:
    """variant -> query -> nDCG@10, each half of the queries under the parameters of the other."""
    found: dict[Variant, PerQuery] = {}
    halves = queries[::2], queries[1::2]
    for measured, fitted_on in (halves, halves[::-1]):
        parameters = fit(fitted_on, distance, cap)
        results: list[Replayed] = [*baselines(measured, parameters)]
        results += [replay(measured, parameters, variant) for variant in variants]
        for result in results:
            found.setdefault(result.variant, {}).update(result.values)
    return found


def _simplest(variants: Sequence[Variant], found: dict[Variant, PerQuery]) -> Variant:
    """The first that is not worse than the best beyond noise."""
    best = max(variants, key=lambda variant: sum(found[variant].values()))
    return next(v for v in variants if v is best or paired(found[v], found[best]).difference.high >= 0)


def _reason(fused: Paired, chosen: Paired, variant: Variant, queries: int) -> str:
    early = " with early stops" if variant.early_stop else ""
    return (
        f"nDCG@10 against direct on {queries} queries: reasoning on all, fused, {_interval(fused)}; "
        f"{variant.name}{early} within {variant.budget} tokens {_interval(chosen)}"
    )


def _interval(found: Paired) -> str:
    return f"{found.difference.mean:+.4f} [{found.difference.low:+.4f}, {found.difference.high:+.4f}]"
