"""Whether a reranker should replace its first stage, be fused with it and with what weight, or leave it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from contract.adaptive.fusion import fused_odds, of_rank
from evaluation.benchmarks.task import Query, Task
from evaluation.errors import BadData
from evaluation.metrics import PerQuery, by_order, mean, per_query
from evaluation.scorers.scorer import Scored
from evaluation.significance import Interval, Paired, interval, paired
from retrieval.trec import Run

WEIGHTS = tuple(tenths / 10 for tenths in range(1, 10))
MEASURE = "nDCG@10"
_LEAST_QUERIES = 4


class Of(StrEnum):
    """What of the first stage is fused."""

    SCORES = "scores"
    RANKS = "ranks"


class Advice(StrEnum):
    """What to do with a model's scores: nothing; rank by them alone; or fuse them with the first stage's."""

    LEAVE = "leave"
    REPLACE = "replace"
    FUSE = "fuse"


@dataclass(frozen=True, slots=True)
class ScoredQuery:
    """The candidates of one query in the order of the first stage, with its scores and the model's log-odds."""

    id: str
    documents: Sequence[str]
    first: Sequence[float]
    odds: Sequence[float]
    grades: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Fusion:
    """`weight` of the first stage, by its scores or its ranks."""

    weight: float
    of: Of = Of.SCORES


@dataclass(frozen=True, slots=True)
class Row:
    """One way to rank, on the measured queries. Differences are paired by query."""

    way: str
    value: Interval
    against_first: Interval
    against_replaced: Interval


@dataclass(frozen=True, slots=True)
class Decision:
    """`fusion`: the best on the queries that it was fitted on, whatever the advice."""

    advice: Advice
    fusion: Fusion
    rows: Sequence[Row]
    reason: str


FIRST, REPLACED = Fusion(1.0), Fusion(0.0)


def scored_queries(
    task: Task, queries: Sequence[Query], candidates: Run, scored: Mapping[str, Mapping[str, Scored]]
) -> list[ScoredQuery]:
    """Those of all queries that have candidates."""
    return [
        ScoredQuery(
            query.id,
            list(candidates[query.id]),
            list(candidates[query.id].values()),
            [scored[query.id][document].score for document in candidates[query.id]],
            task.qrels.get(query.id, {}),
        )
        for query in queries
        if candidates[query.id]
    ]


def fit(queries: Sequence[ScoredQuery]) -> Fusion:
    """The fusion with the highest mean; of equal ones the nearest to equal weights. Raises BadData for few queries."""
    if len(queries) < _LEAST_QUERIES:
        raise BadData(
            f"Only {len(queries)} queries with candidates to fit a weight on; at least {_LEAST_QUERIES} are needed, "
            "200 are better."
        )
    tried = [Fusion(weight, of) for of in Of for weight in WEIGHTS]
    return max(tried, key=lambda fusion: (round(mean(measured(queries, fusion)), 6), -abs(fusion.weight - 0.5)))


def decide(queries: Sequence[ScoredQuery], fusion: Fusion) -> Decision:
    """What the measured queries say, on which nothing was fitted."""
    first, replaced, fused = (measured(queries, each) for each in (FIRST, REPLACED, fusion))
    rows = [
        _row(way, values, first, replaced)
        for way, values in (
            ("the first stage alone", first),
            ("replaced by the model", replaced),
            (f"fused, weight {fusion.weight:g} of the first stage's {fusion.of}", fused),
        )
    ]
    by_model, by_both, over_model = paired(replaced, first), paired(fused, first), paired(fused, replaced)
    if max(by_model.difference.low, by_both.difference.low) <= 0:
        advice = Advice.LEAVE
    elif over_model.difference.low > 0 or by_model.difference.low <= 0:
        advice = Advice.FUSE
    else:
        advice = Advice.REPLACE
    reason = (
        f"{MEASURE} on {len(queries)} queries: replaced against the first stage {_shown(by_model)}, fused against it "
        f"{_shown(by_both)}, fused against replaced {_shown(over_model)}"
    )
    return Decision(advice, fusion, rows, reason)


def measured(queries: Sequence[ScoredQuery], fusion: Fusion) -> PerQuery:
    """query -> nDCG@10 of its candidates, ranked so; ties keep the order of the first stage."""
    order = {query.id: _order(query, fusion) for query in queries}
    return per_query({query.id: dict(query.grades) for query in queries}, by_order(order), [MEASURE])[MEASURE]


def _order(query: ScoredQuery, fusion: Fusion) -> list[str]:
    if fusion == FIRST:
        return list(query.documents)
    ranks = [of_rank(place + 1) for place in range(len(query.documents))]
    odds = fused_odds(query.odds, query.first if fusion.of is Of.SCORES else ranks, fusion.weight)
    return [query.documents[at] for at in sorted(range(len(odds)), key=lambda at: (-odds[at], at))]


def _row(way: str, values: PerQuery, first: PerQuery, replaced: PerQuery) -> Row:
    return Row(
        way,
        interval(list(values.values())),
        paired(values, first).difference,
        paired(values, replaced).difference,
    )


def _shown(found: Paired) -> str:
    return f"{found.difference.mean:+.4f} [{found.difference.low:+.4f}, {found.difference.high:+.4f}]"
