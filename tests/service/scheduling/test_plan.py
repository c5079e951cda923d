"""The plan: when calls are ready, who has to hurry, who is let in and who is given up. Seconds from now on."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.scheduling.plan import Need, Plan

NEEDS = st.lists(
    st.builds(
        Need,
        key=st.sampled_from("abc"),
        level=st.integers(0, 1),
        deadline=st.integers(1, 40).map(float),
        seconds=st.integers(1, 12).map(float),
        done=st.sampled_from([0.0, 0.5, 0.9]),
    ),
    max_size=10,
)


def need(seconds: float, deadline: float, key: str = "a", *, level: int = 1, done: float = 0.0) -> Need:
    return Need(key, level, deadline, seconds, done)


def test_within_a_key_the_earliest_deadline_and_between_keys_who_has_had_no_more() -> None:
    plan = Plan([need(4, 20), need(2, 5), need(3, 30, "b")], 0.0)
    assert plan.ready == [9, 2, 5]
    assert Plan([need(4, 20), need(3, 30, "b", level=0)], 0.0).ready == [7, 3], "a better class goes first"


def test_what_a_key_has_had_counts() -> None:
    calls = [need(4, 20), need(3, 10, "b")]
    assert Plan(calls, 0.0).ready == [7, 3], "whose is due first, of those that have had as much"
    assert Plan(calls, 0.0, {"b": 2.0}).ready == [4, 7]
    assert Plan(calls, 0.0, {"b": 2.0}, lead=2.0).ready == [7, 3]


def test_a_large_call_takes_turns_by_pieces() -> None:
    calls = [need(100, 150), need(5, 200, "b"), need(30, 300, "c")]
    assert Plan(calls, 0.0).ready == [100, 105, 135]
    assert Plan(calls, 0.0, piece=10).ready == [135, 15, 65]
    assert Plan(calls, 0.0, piece=10).late(need(5, 20, "d")) <= 0
    assert Plan(calls, 0.0, {"b": 12.0}, lead=5.0, piece=10).ready[1] == 25
    assert Plan([Need("a", 1, 150, 100, got=6), *calls[1:]], 0.0, {"a": 6.0}, piece=10).ready == [135, 9, 59]


@given(NEEDS, st.sampled_from([1, 3, 5]), st.integers(0, 4))
def test_the_pieces_of_a_call_are_all_of_it(needs: list[Need], piece: int, lead: int) -> None:
    plan = Plan(needs, 0.0, lead=lead, piece=piece)
    assert max(plan.ready, default=0.0) == sum(each.seconds for each in needs)
    for level in (0, 1):
        last = max((at for at, each in zip(plan.ready, needs, strict=True) if each.level <= level), default=0.0)
        assert last == sum(each.seconds for each in needs if each.level <= level), "better classes go first"
    assert all(at >= each.seconds for at, each in zip(plan.ready, needs, strict=True))


@given(NEEDS)
def test_no_key_is_ahead_of_another_that_waits_by_more_than_one_call(needs: list[Need]) -> None:
    """Whatever the deadlines are."""
    needs = [each for each in needs if each.level == 1]
    order = sorted(range(len(needs)), key=Plan(needs, 0.0).ready.__getitem__)
    had = dict.fromkeys("abc", 0.0)
    for number, place in enumerate(order):
        waiting = {needs[other].key for other in order[number:]}
        assert had[needs[place].key] <= min(had[key] for key in waiting)
        had[needs[place].key] += needs[place].seconds


@given(NEEDS, st.integers(1, 40), st.integers(1, 12), st.sampled_from("ad"), st.sampled_from([math.inf, 3.0]))
def test_late_says_what_a_plan_with_the_call_would_say(
    needs: list[Need], due: int, seconds: int, key: str, piece: float
) -> None:
    """Of a single key exactly, for itself and those of its own that it keeps waiting."""
    needs = [each for each in needs if each.key == "a"]
    come = need(seconds, due, key)
    if key == "d" and needs:
        return
    mine = [each for each in needs if each.level == come.level]
    after = Plan([*mine, come], 0.0, piece=piece)
    worst = max(
        at - each.deadline
        for at, each in zip(after.ready, [*mine, come], strict=True)
        if each is come or each.deadline > come.deadline
    )
    assert Plan(mine, 0.0, piece=piece).late(come) == pytest.approx(worst)


def test_only_a_key_within_its_share_may_push_out_another_s_call() -> None:
    plan = Plan([need(9, 10, "a")], 0.0)
    assert plan.late(need(4, 9, "b")) <= 0, "4 of 9 seconds are less than half"
    assert plan.late(need(6, 20, "b")) <= 0, "it is due later, and waits"
    assert plan.late(need(6, 9, "b")) == 5, "it would keep the other waiting, which would be ready after 15"


def test_who_has_no_time_to_spare_is_pressed() -> None:
    plan = Plan([need(4, 20), need(4, 9)], 0.0)
    assert plan.pressed(0.1, 0.5) == []
    assert plan.pressed(0.1, 5.0) == [1]
    assert plan.spare() == [12, 5]


def test_of_what_is_least_done_the_largest_is_given_up() -> None:
    calls = [need(3, 10, done=0.8), need(2, 10), need(4, 10), need(3, 12)]
    assert Plan(calls, 0.0).hopeless(0.0, 0.0) == []
    slower = [need(2 * each.seconds, each.deadline, done=each.done) for each in calls]
    assert [place for place, _ in Plan(slower, 0.0).hopeless(0.0, 0.0)] == [2, 3]


def test_a_little_late_is_not_given_up() -> None:
    plan = Plan([need(10.4, 10.0)], 0.0)
    assert plan.hopeless(0.05, 0.0) == []
    [(place, late)] = plan.hopeless(0.02, 0.0)
    assert (place, round(late, 6)) == (0, 0.4)


@given(NEEDS, st.sampled_from([math.inf, 3.0]))
def test_what_is_kept_is_in_time(needs: list[Need], piece: float) -> None:
    going = [place for place, _ in Plan(needs, 0.0, piece=piece).hopeless(0.0, 0.0)]
    gone = set(going)
    assert len(gone) == len(going)
    kept = [each for place, each in enumerate(needs) if place not in gone]
    again = Plan(kept, 0.0, piece=piece)
    one_key = len({each.key for each in kept}) <= 1 and len({each.level for each in kept}) <= 1
    if one_key:
        assert not again.hopeless(0.0, 1e-6)


def test_what_is_not_known_to_take_time_is_never_given_up() -> None:
    assert Plan([need(0, 1), need(0, 1)], 5.0).hopeless(0.0, 0.0) == []


def test_a_large_call_that_is_late_takes_no_time_from_the_small_ones_of_its_key() -> None:
    """At the door, and of the time in which they may reason."""
    large, small = Need("a", 0, 90.0, 100.0), Need("a", 0, 300.0, 1.0)
    plan = Plan([large, small], 0.0, lead=2.0, piece=5.0)
    assert plan.ready == [101, 1]
    assert plan.spare() == [-11, 299]
    assert plan.late(Need("a", 0, 300.0, 1.0)) == -298
    assert plan.late(Need("a", 0, 80.0, 3.0)) > 0, "one that is not small would make it later still"
