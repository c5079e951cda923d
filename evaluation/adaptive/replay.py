"""Replays recorded traces under a policy and a budget: the same decisions as in the service, without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from contract.adaptive.parameters import Parameters, Policy
from contract.adaptive.race import Limits, Race
from evaluation.adaptive.traces import RecordedQuery
from evaluation.metrics import PerQuery, by_order, per_query

MEASURE = "nDCG@10"
COUNT = 10
TOKENS = "tokens"  # what budgets count, unless a result says otherwise


@dataclass(frozen=True, slots=True)
class Variant:
    """A row of the ablation. `policy` None: every document or none is reasoned about. `budget`: tokens of a query."""

    name: str
    policy: Policy | None = None
    early_stop: bool = False
    budget: int | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """A variant on all queries: the measure and the tokens of each, probes included, and documents with a trace."""

    variant: Variant
    values: PerQuery
    tokens: PerQuery
    reasoned: float

    def joined(self, other: Replayed) -> Replayed:
        """The same variant on these and other queries."""
        return Replayed(
            self.variant,
            {**self.values, **other.values},
            {**self.tokens, **other.tokens},
            self.reasoned + other.reasoned,
        )


DIRECT, REPLACED, FUSED = Variant("direct"), Variant("all reasoned, replaced"), Variant("all reasoned, fused")


def baselines(queries: Sequence[RecordedQuery], parameters: Parameters) -> list[Replayed]:
    """No document reasoned about, and all of them, with the reasoned scores alone and fused with the direct ones."""
    whole = {query.id: float(sum(trace.tokens for trace in query.traces)) for query in queries}
    nothing = dict.fromkeys(whole, 0.0)
    documents = sum(len(query.traces) for query in queries)
    return [
        Replayed(DIRECT, _measured(queries, lambda query: [t.direct for t in query.traces]), nothing, 0),
        Replayed(REPLACED, _measured(queries, lambda query: [t.reasoned for t in query.traces]), whole, documents),
        Replayed(FUSED, _measured(queries, lambda query: fused(query, parameters)), whole, documents),
    ]


def fused(query: RecordedQuery, parameters: Parameters) -> list[float]:
    """The fused log-odds of a query's documents, all of them reasoned about."""
    return [parameters.fused(trace.direct, trace.reasoned) for trace in query.traces]


def replay(queries: Sequence[RecordedQuery], parameters: Parameters, variant: Variant) -> Replayed:
    """Run one variant on all queries."""
    assert variant.policy is not None
    chosen = replace(parameters, policy=variant.policy, early_stop=variant.early_stop)
    orders, tokens, reasoned = {}, {}, 0
    for query in queries:
        race = raced(query, chosen, Limits(COUNT, variant.budget, chosen.cap))
        orders[query.id] = [query.documents[index] for index in race.order]
        tokens[query.id] = float(race.spent)
        reasoned += race.reasoned
    return Replayed(variant, measured(queries, orders), tokens, reasoned)


def raced(query: RecordedQuery, parameters: Parameters, limits: Limits) -> Race:
    """One query's race, at its end."""
    race = Race(parameters, [trace.direct for trace in query.traces], limits)
    written = [0] * len(query.traces)
    while asks := race.wave():
        for ask in asks:
            written[ask.index] += ask.tokens
            race.took(ask.index, query.traces[ask.index].read(written[ask.index]))
    return race


def measured(queries: Sequence[RecordedQuery], orders: dict[str, list[str]]) -> PerQuery:
    """query -> nDCG@10 of these rankings."""
    return per_query({query.id: dict(query.grades) for query in queries}, by_order(orders), [MEASURE])[MEASURE]


def _measured(queries: Sequence[RecordedQuery], scores: Callable[[RecordedQuery], list[float]]) -> PerQuery:
    """By scores; equal ones stay in the order of the first stage, as in the service."""
    orders = {}
    for query in queries:
        values = scores(query)
        best = sorted(range(len(values)), key=lambda index: (-values[index], index))
        orders[query.id] = [query.documents[index] for index in best]
    return measured(queries, orders)
