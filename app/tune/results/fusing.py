"""The new model's scores fused with those of the first stages, as the service fuses `first_stage_scores`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.tune.results.systems import MEASURE
from contract.adaptive.fusion import fused_odds
from evaluation.metrics import by_order, mean, per_query

LEAST = 10  # queries that a weight is fitted on
RESERVED, MOST_RESERVED = 10, 50  # they are one of so many labelled groups, at most
WEIGHTS = tuple(step / 10 for step in range(10))
Scores = Mapping[str, float]
"""Passage -> score."""


def fused_order(own: Scores, given: Scores, weight: float) -> list[str]:
    """The passages of `own`, best first. `weight`: share of the scores `given`; ties go to the better of them."""
    names = list(own)
    odds = fused_odds([own[name] for name in names], [given[name] for name in names], weight)
    place = {name: number for number, name in enumerate(sorted(names, key=lambda name: -given[name]))}
    mixed = dict(zip(names, odds, strict=True))
    return sorted(names, key=lambda name: (-mixed[name], place[name]))


def fitted_weight(
    own: Mapping[str, Scores], given: Mapping[str, Scores], qrels: Mapping[str, Mapping[str, int]]
) -> float:
    """The weight that ranks the queries of `qrels` best, which the model was not trained on; the smallest of several,
    and 0 where there are less than LEAST queries."""
    if len(qrels) < LEAST:
        return 0.0
    return max(WEIGHTS, key=lambda weight: (round(_mean(own, given, qrels, weight), 6), -weight))


def _mean(
    own: Mapping[str, Scores], given: Mapping[str, Scores], qrels: Mapping[str, Mapping[str, int]], weight: float
) -> float:
    ranked: dict[str, Sequence[str]] = {query: fused_order(own[query], given[query], weight) for query in qrels}
    judged = {query: dict(relevant) for query, relevant in qrels.items()}
    return mean(per_query(judged, by_order(ranked), [MEASURE])[MEASURE])
