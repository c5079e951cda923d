"""The new model with the first stages' scores: fused as the service does, with a weight fitted on held-out queries."""

from __future__ import annotations

import pytest

from app.tune.groups.candidates import Found
from app.tune.queries.made import HEADING, Query
from app.tune.results.fusing import LEAST, fitted_weight, fused_order
from app.tune.results.measuring import Case, measured, rankings, weights_of
from app.tune.results.systems import ALONE, FUSED, NEW, SHIPPED, SHIPPED_FUSED, verdict
from contract.reasoning import Status
from retrieval.retriever import Hit
from service.ranking import Verdict
from service.stages.fusion import fused
from tests.app.tune.test_measuring import passage

NAMES = ("p0", "p1", "p2", "p3")


def case(number: int, answer: int) -> Case:
    """The first stages find p0 first, p1 second and so on."""
    near = tuple(Hit(place, 1 - place / 10) for place in range(4))
    query = Query(f"q{number}", f"what of {number}", HEADING, {f"p{answer}": 1}, True)
    return Case(query, Found(query.id, near, near, (answer,), {hit.index: hit.score for hit in near}))


def scores(*values: float) -> dict[str, float]:
    return dict(zip(NAMES, values, strict=True))


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.9])
def test_the_order_is_that_of_the_service(weight: float) -> None:
    own, given = scores(-1.0, 2.5, 0.5, -4.0), scores(10.0, 1.0, 30.0, 20.0)
    verdicts = [
        Verdict(place, odds, Status.COMPLETE, None, 1, 0, 0, truncated=False) for place, odds in enumerate(own.values())
    ]
    served = sorted(fused(verdicts, list(given.values()), weight), key=lambda verdict: -verdict.log_odds)
    assert fused_order(own, given, weight) == [NAMES[verdict.index] for verdict in served]


def test_equal_scores_and_single_passages_are_ranked() -> None:
    assert fused_order({}, {}, 0.5) == []
    assert fused_order({"p0": 1.0}, {"p0": 3.0}, 0.5) == ["p0"]
    assert fused_order(scores(1, 1, 1, 1), scores(1, 4, 3, 2), 0.0) == ["p1", "p2", "p3", "p0"]


def test_the_weight_is_what_held_out_queries_are_ranked_best_with() -> None:
    """The model is right where the first stages are not, and the other way round: only both together put it first."""
    given = {f"q{number}": scores(4, 3, 2, 1) for number in range(LEAST)}
    right = {name: scores(4, 3, 2, 1) for name in given}
    wrong = {name: scores(1, 3, 2, 4) for name in given}
    qrels = {name: {"p0": 1} for name in given}
    assert fitted_weight(right, given, qrels) == 0.0
    assert fitted_weight(wrong, given, qrels) > 0.4
    assert fitted_weight(wrong, dict(list(given.items())[:1]), dict(list(qrels.items())[:1])) == 0.0, "too few to tell"


def test_what_is_fused_is_measured_with_and_without() -> None:
    passages = [passage(number) for number in range(4)]
    reserved = [case(number, 0) for number in range(LEAST)]
    tested = [case(100 + number, 0) for number in range(20)]
    everything = [*reserved, *tested]
    made = {
        SHIPPED: {each.query.id: scores(4, 3, 2, 1) for each in everything},
        NEW: {each.query.id: scores(1, 3, 2, 4) for each in everything},
    }
    weights = weights_of(reserved, passages, made)
    assert weights[SHIPPED] == 0.0 < weights[NEW]
    ranked = rankings(tested, passages, made, weights)
    assert SHIPPED_FUSED not in ranked
    figures = measured(tested, passages, ranked, weights)
    means = {name: value["mean"] for name, value in figures["systems"].items()}
    assert means[NEW] == means[FUSED] == 1.0 > means[ALONE]
    assert figures["rival"] != ALONE
    helps, told = verdict(figures)
    assert not helps
    assert f"with the first stages' scores at a weight of {weights[NEW]:g}" in told
