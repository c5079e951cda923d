"""Scores of the caller's own search, fused with the model's."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.adaptive.fusion import alike
from contract.reasoning import Status
from service.ranking import FirstStage, Ranking, ScoreKind, Verdict
from service.stages.fusion import fused, on_one_scale
from tests.fakes import ScriptedEngine
from tests.service.reranking import Service
from tests.service.test_reranker import by_number

ANY = st.floats(allow_nan=False, allow_infinity=False)
PAIRS = st.lists(st.tuples(st.floats(-40, 40), ANY), min_size=1, max_size=10)


def verdict(index: int, log_odds: float, relevance: float | None = None) -> Verdict:
    return Verdict(index, log_odds, Status.COMPLETE, None, 1, 0, 0, False, own_relevance=relevance)


def order(verdicts: list[Verdict]) -> list[int]:
    return [v.index for v in sorted(verdicts, key=lambda v: (-v.log_odds, v.index if v.place is None else v.place))]


def test_the_example_of_the_module() -> None:
    found = fused([verdict(0, -2), verdict(1, 0), verdict(2, 2)], [10, 30, 20], 0.5)
    assert [round(v.log_odds, 9) for v in found] == [-2, 1, 1]


@settings(deadline=None)
@given(PAIRS, st.floats(0, 1))
def test_fused_scores_are_finite_and_keep_what_both_agree_on(pairs: list[tuple[float, float]], weight: float) -> None:
    own, given_scores = [odds for odds, _ in pairs], [score for _, score in pairs]
    found = fused([verdict(i, odds) for i, odds in enumerate(own)], given_scores, weight)
    assert [v.index for v in found] == list(range(len(pairs)))
    assert all(math.isfinite(v.log_odds) and 0 <= v.relevance <= 1 for v in found)
    places = {index: place for place, index in enumerate(order(found))}
    for i in range(len(pairs)):
        for j in range(len(pairs)):
            if own[i] > own[j] and given_scores[i] >= given_scores[j] and weight < 1:
                assert places[i] < places[j]


@settings(deadline=None)
@given(PAIRS)
def test_the_ends_of_the_weight_are_the_two_orders(pairs: list[tuple[float, float]]) -> None:
    verdicts = [verdict(i, odds) for i, (odds, _) in enumerate(pairs)]
    scores = [score for _, score in pairs]
    assert fused(verdicts, scores, 0.0) == verdicts, "bit for bit"
    if alike(scores, [v.log_odds for v in verdicts]) is not None:
        by_given = sorted(range(len(pairs)), key=lambda i: (-scores[i], -pairs[i][0], i))
        assert order(fused(verdicts, scores, 1.0)) == by_given


def test_scores_that_are_all_the_same_say_nothing() -> None:
    verdicts = [verdict(0, 1.0), verdict(1, 3.0)]
    assert fused(verdicts, [7.0, 7.0], 0.9) == fused(verdicts, [0.0, 0.0], 0.9) == verdicts
    assert fused(verdicts[:1], [5.0], 0.9) == verdicts[:1]
    flat = [verdict(0, 1.0), verdict(1, 1.0)]
    assert order(fused(flat, [1.0, 2.0], 0.1)) == [1, 0], "where the model does not tell, the search does"


def test_grades_come_onto_the_scale_of_log_odds() -> None:
    assert on_one_scale(verdict(0, 2.0, 0.5)).log_odds == 0.0
    assert on_one_scale(verdict(0, 4.0, 1.0)).log_odds > 30
    assert on_one_scale(verdict(0, 0.0, 0.0)).log_odds < -30
    assert on_one_scale(verdict(0, 1.5)).log_odds == 1.5


async def ranked(weight: float | None, **defaults: Any) -> Ranking:
    service = Service(ScriptedEngine(log_odds=by_number), score_kind=ScoreKind.FITTED, **defaults)
    return await service.rank(["3", "2", "-1"], first_stage=FirstStage((0.1, 0.2, 0.9), weight))


async def test_the_weight_is_the_callers_or_the_servers() -> None:
    assert [result.index for result in (await ranked(1.0)).results] == [2, 1, 0]
    assert [result.index for result in (await ranked(0.0)).results] == [0, 1, 2]
    assert (await ranked(None, first_stage_weight=1.0)).results == (await ranked(1.0)).results
    assert (await ranked(None)).results == (await ranked(0.5)).results
    assert (await ranked(0.0)).score_kind is ScoreKind.FITTED
    assert (await ranked(0.5)).score_kind is ScoreKind.OWN, "no probability that was fitted to labels"
    assert [result.stage for result in (await ranked(0.5)).results] == [None] * 3
    assert not any(result.says_status for result in (await ranked(0.5)).results)


@pytest.mark.parametrize("weight", [0.3, 1.0])
async def test_a_listener_is_told_of_final_scores(weight: float) -> None:
    from tests.service.stages.test_cascade import Listening

    listening = Listening()
    service = Service(ScriptedEngine(log_odds=by_number))
    ranking = await service.rank(["3", "2"], listener=listening, first_stage=FirstStage((1, 2), weight))
    assert listening.told == list(ranking.results)
