"""The policy of adaptive mode: what holds for every call, whatever its scores, traces and budget."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.adaptive.parameters import Policy
from contract.adaptive.race import Limits, Race, Read
from contract.reasoning import Status
from tests.contract.adaptive.scripted import ScriptedTrace, parameters, play

ODDS = st.floats(-12, 12, allow_nan=False)
TRACES = st.builds(ScriptedTrace, st.integers(1, 60), ODDS)
CALLS = st.lists(st.tuples(ODDS, TRACES), min_size=1, max_size=25)
VARIANTS = st.fixed_dictionaries({"policy": st.sampled_from(Policy), "early_stop": st.booleans()})
Call = list[tuple[float, ScriptedTrace]]


def raced(call: Call, limits: Limits, **changes: Any) -> Race:
    direct, traces = [odds for odds, _ in call], [trace for _, trace in call]
    race = Race(parameters(**changes), direct, limits)
    play(race, direct, traces)
    return race


def by_direct(call: Call) -> list[int]:
    return sorted(range(len(call)), key=lambda i: (-call[i][0], i))


@settings(deadline=None)
@given(CALLS, VARIANTS, st.integers(0, 30))
def test_a_budget_of_nothing_leaves_the_order_of_direct_scores(call: Call, variant: dict[str, Any], top: int) -> None:
    race = raced(call, Limits(top, budget=0), **variant)
    assert (race.order, race.spent, race.probes, race.rounds) == (by_direct(call), 0, 0, 0)
    assert {final.outcome for final in race.results} == {Status.DIRECT}


@settings(deadline=None)
@given(CALLS, VARIANTS, st.integers(0, 400), st.integers(1, 12), st.integers(1, 50), st.integers(1, 6))
def test_the_budget_is_never_exceeded_and_every_end_leaves_a_whole_ranking(
    call: Call, variant: dict[str, Any], budget: int, top: int, cap: int, seats: int
) -> None:
    direct, traces = [odds for odds, _ in call], [trace for _, trace in call]
    race = Race(parameters(**variant), direct, Limits(top, budget, cap, seats))
    waves = play(race, direct, traces)
    assert race.spent <= budget
    assert race.spent == sum(final.tokens for final in race.results) + race.probes
    assert all(final.tokens <= cap for final in race.results)
    assert all(len(wave) <= seats for wave in waves)
    assert sorted(race.order) == list(range(len(call)))
    assert race.reasoned == sum(final.outcome is not Status.DIRECT for final in race.results)


@settings(deadline=None)
@given(CALLS, VARIANTS, st.integers(1, 30))
def test_without_limit_and_tolerance_every_document_is_reasoned_about(
    call: Call, variant: dict[str, Any], top: int
) -> None:
    race = raced(call, Limits(top, cap=100), tolerance=0.0, **variant)
    assert all(final.tokens for final in race.results)
    if not variant["early_stop"]:
        fused = [parameters().fused(odds, trace.log_odds) for odds, trace in call]
        assert [final.log_odds for final in race.results] == pytest.approx(fused)
        assert {final.outcome for final in race.results} == {Status.COMPLETE}


@settings(deadline=None)
@given(CALLS, VARIANTS, st.integers(0, 300))
def test_scores_of_unreasoned_documents_keep_their_direct_order(
    call: Call, variant: dict[str, Any], budget: int
) -> None:
    race = raced(call, Limits(3, budget), **variant)
    unreasoned = {final.index for final in race.results if final.outcome is Status.DIRECT}
    assert [i for i in race.order if i in unreasoned] == [i for i in by_direct(call) if i in unreasoned]


@settings(deadline=None)
@given(CALLS, VARIANTS, st.integers(0, 300), st.integers(0, 6))
def test_a_race_that_is_stopped_anywhere_has_a_score_for_every_document(
    call: Call, variant: dict[str, Any], budget: int, waves: int
) -> None:
    direct = [odds for odds, _ in call]
    race, written = Race(parameters(**variant), direct, Limits(5, budget)), [0] * len(call)
    for _ in range(waves):
        for ask in race.wave():
            written[ask.index] += ask.tokens
            race.took(ask.index, call[ask.index][1].read(direct[ask.index], written[ask.index]))
    race.end(Status.DEADLINE)
    assert race.wave() == []
    assert len(race.results) == len(race.order) == len(call)
    cut = {final.outcome for final in race.results}
    assert cut <= {Status.DIRECT, Status.COMPLETE, Status.STOPPED_EARLY, Status.BUDGET, Status.DEADLINE}


def test_documents_far_from_the_border_are_not_reasoned_about() -> None:
    call = [(odds, ScriptedTrace(10, odds)) for odds in (9.0, 8.5, 0.2, 0.0, -9.0, -10.0)]
    race = raced(call, Limits(3), policy=Policy.BORDER)
    assert [final.index for final in race.results if final.tokens] == [2, 3]
    best = raced(call, Limits(3), policy=Policy.TOP)
    assert [final.index for final in best.results if final.tokens] == [0, 1, 2, 3]


def test_a_verdict_that_has_settled_ends_its_trace_after_two_probes_that_agree() -> None:
    call = [(5.0, ScriptedTrace(40, 5.0)), (-5.0, ScriptedTrace(40, -5.0)), (-5.5, ScriptedTrace(40, -5.5))]
    race = raced(call, Limits(1), early_stop=True, tolerance=0.0)
    assert {(final.tokens, final.outcome) for final in race.results} == {(16, Status.STOPPED_EARLY)}
    moving = raced([(0.0, ScriptedTrace(40, 8.0)), *call[1:]], Limits(1), early_stop=True, tolerance=0.0, agreement=0.2)
    assert (moving.results[0].tokens, moving.results[0].outcome) == (40, Status.COMPLETE)


def test_a_deadline_that_an_engine_meets_ends_the_call() -> None:
    race = Race(parameters(tolerance=0.0), [1.0, 0.5, 0.0], Limits(1, seats=2))
    first, second = race.wave()
    race.took(first.index, Read(7, 2.0, Status.DEADLINE))
    race.took(second.index, Read(0, 0.5, Status.DEADLINE))
    assert race.wave() == []
    assert [final.outcome for final in race.results] == [Status.DEADLINE, Status.DIRECT, Status.DIRECT]
    assert race.spent == 7


def test_a_model_that_ends_its_text_at_once_is_not_asked_again() -> None:
    race = Race(parameters(tolerance=0.0), [1.0, 0.5], Limits(1))
    for ask in race.wave():
        race.took(ask.index, Read(0, 0.0, Status.END_OF_TEXT))
    assert race.wave() == []
    assert race.order == [0, 1]


def test_what_a_trace_leaves_over_goes_to_others() -> None:
    """Budget for two average traces of 21 tokens; both are shorter, and a third begins."""
    call = [(0.3 - n / 10, ScriptedTrace(5, 0.0)) for n in range(6)]
    race = raced(call, Limits(3, budget=45), tolerance=0.0)
    assert race.reasoned > 2
    assert race.spent <= 45
