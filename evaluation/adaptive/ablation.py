"""Every policy under every budget, with and without early stops, on queries that nothing was fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from contract.adaptive.parameters import Parameters, Policy
from evaluation.adaptive.replay import Replayed, Variant, baselines, replay
from evaluation.adaptive.traces import RecordedQuery
from evaluation.significance import Interval, interval, paired

TRACES = (1, 2, 5, 10, 20, 40)  # budgets of a query, in median traces


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One variant. `budget` None: no limit. `tokens` and `reasoned` (documents with a trace) are means of a query,
    `share` that of the tokens of reasoning on every document; the differences are paired by query."""

    policy: str
    early_stop: bool
    budget: int | None
    tokens: float
    share: float
    reasoned: float
    value: Interval
    against_direct: Interval
    against_fused: Interval


def ablation(queries: Sequence[RecordedQuery], parameters: Parameters) -> list[Row]:
    """The rows: no reasoning, reasoning on all, and every policy by its budget."""
    found = baselines(queries, parameters)
    everywhere = replace(parameters, tolerance=0.0)
    found.append(replay(queries, everywhere, Variant("all reasoned, fused", Policy.TOP, early_stop=True)))
    for traces in TRACES:
        budget = round(traces * parameters.median_tokens)
        for policy in Policy:
            for early in (False, True):
                found.append(replay(queries, parameters, Variant(policy.value, policy, early, budget)))
    return rows(found)


def rows(found: Sequence[Replayed]) -> list[Row]:
    """A row for each result; the baselines come first, as from `baselines`."""
    direct, _, fused = found[:3]
    return [_row(result, direct, fused) for result in found]


def _row(result: Replayed, direct: Replayed, fused: Replayed) -> Row:
    count = max(1, len(result.tokens))
    tokens, whole = sum(result.tokens.values()), sum(fused.tokens.values())
    return Row(
        policy=result.variant.name,
        early_stop=result.variant.early_stop,
        budget=result.variant.budget,
        tokens=round(tokens / count, 1),
        share=round(tokens / whole, 4) if whole else 0.0,
        reasoned=round(result.reasoned / count, 2),
        value=interval(list(result.values.values())),
        against_direct=paired(result.values, direct.values).difference,
        against_fused=paired(result.values, fused.values).difference,
    )
