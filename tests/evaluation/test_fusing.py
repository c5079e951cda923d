"""Whether to replace a first stage, to fuse or to leave it: on made-up scores whose answer is known."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from contract.adaptive.fusion import fused_odds, of_rank
from evaluation.errors import BadData
from evaluation.fusing import FIRST, REPLACED, Advice, Fusion, Of, ScoredQuery, decide, fit, measured

Scores = Callable[[random.Random, int], tuple[float, float]]


def queries(count: int, scores: Scores, seed: int = 7) -> list[ScoredQuery]:
    """Of each query's ten candidates one is relevant; `scores` gives the first stage's and the model's of a grade."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        grades = [0] * 10
        grades[draw.randrange(10)] = 1
        made = [(*scores(draw, grade), grade) for grade in grades]
        made.sort(key=lambda each: -each[0])
        documents = [f"d{place}" for place in range(10)]
        relevant = {document: grade for document, (_, _, grade) in zip(documents, made, strict=True)}
        query = ScoredQuery(f"q{number}", documents, [m[0] for m in made], [m[1] for m in made], relevant)
        found.append(query)
    return found


def good_and_bad(draw: random.Random, grade: int) -> tuple[float, float]:
    return draw.gauss(20 + 30 * grade, 4), draw.gauss(0, 1)


def bad_and_good(draw: random.Random, grade: int) -> tuple[float, float]:
    return draw.gauss(20, 4), draw.gauss(8 * grade, 1)


def both_half(draw: random.Random, grade: int) -> tuple[float, float]:
    return draw.gauss(20 + 6 * grade, 4), draw.gauss(1.5 * grade, 1)


@pytest.mark.parametrize(
    ("scores", "advice"),
    [(good_and_bad, Advice.LEAVE), (bad_and_good, Advice.REPLACE), (both_half, Advice.FUSE)],
)
def test_the_advice_is_what_the_scores_were_made_for(scores: Scores, advice: Advice) -> None:
    fusion = fit(queries(60, scores, seed=1))
    decision = decide(queries(150, scores, seed=2), fusion)
    assert decision.advice is advice, decision.reason
    assert next(row.value.mean for row in decision.rows) == pytest.approx(
        sum(measured(queries(150, scores, seed=2), FIRST).values()) / 150
    )
    assert "150 queries" in decision.reason


def test_the_ends_are_the_first_stage_and_the_model() -> None:
    made = queries(20, both_half)
    assert measured(made, FIRST) == measured(made, Fusion(1.0, Of.RANKS))
    by_model = measured(made, REPLACED)
    for query in made:
        best = query.documents[max(range(10), key=lambda at: query.odds[at])]
        assert (by_model[query.id] == 1.0) == (query.grades[best] == 1)


def test_too_few_queries_are_a_sentence() -> None:
    with pytest.raises(BadData, match="Only 2 queries with candidates to fit a weight on"):
        fit(queries(2, both_half))


def test_ranks_fall_and_one_document_is_left_as_it_is() -> None:
    assert of_rank(1) > of_rank(2) > of_rank(1000) > 0
    assert fused_odds([3.0], [9.0], 0.5) == [3.0]
    assert fused_odds([], [], 0.5) == []
