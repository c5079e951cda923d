"""The border of the top: as many documents are expected above it as are wanted."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.adaptive.beliefs import Belief, border, chances, swaps
from contract.adaptive.choice import order, undecided
from contract.adaptive.parameters import Policy

BELIEFS = st.lists(st.builds(Belief, st.floats(-50, 50), st.floats(0.05, 5)), min_size=2, max_size=40)


@settings(deadline=None)
@given(BELIEFS, st.integers(1, 39))
def test_the_chances_of_the_top_add_up_to_its_size(beliefs: list[Belief], count: int) -> None:
    if count < len(beliefs):
        assert math.fsum(chances(beliefs, count)) == pytest.approx(count, abs=1e-6)


@settings(deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=2, max_size=20, unique=True), st.integers(1, 19))
def test_known_scores_are_in_the_top_or_not(scores: list[int], count: int) -> None:
    beliefs = [Belief(float(score), 0.0) for score in scores]
    if count < len(scores):
        line = border(beliefs, count)
        assert line is not None
        assert sum(score > line for score in scores) <= count <= sum(score >= line for score in scores)


@pytest.mark.parametrize("count", [0, 3, 10])
def test_there_is_no_border_where_all_or_none_are_wanted(count: int) -> None:
    beliefs = [Belief(1.0, 1.0)] * 3
    assert border(beliefs, count) is None
    assert chances(beliefs, count) == [float(count > 0)] * 3
    assert undecided(beliefs, count, 0.01) == []


def test_a_swap_is_likely_between_neighbours_and_not_between_known_scores() -> None:
    assert swaps(Belief(0, 1), Belief(0, 1)) == 0.5
    assert swaps(Belief(0, 1), Belief(9, 1)) < 1e-6
    assert swaps(Belief(0, 0), Belief(1, 0)) == 0.0


def test_ten_thousand_documents_have_a_border() -> None:
    beliefs = [Belief(n / 1000, 0.5) for n in range(10_000)]
    assert math.fsum(chances(beliefs, 10)) == pytest.approx(10, abs=1e-6)


def test_each_policy_has_an_order_of_its_own() -> None:
    """Six documents, two wanted; the third is next to the border, the second nearest to a probability of one half."""
    beliefs = [Belief(3.0, 0.4), Belief(0.1, 0.4), Belief(-0.5, 2.0), Belief(-2.0, 0.1), Belief(-3, 0.1), Belief(-9, 1)]
    first = {policy: order(policy, beliefs, range(6), 2, 0.01) for policy in Policy}
    assert first[Policy.TOP] == [0, 1, 2]
    assert set(first[Policy.BORDER]) == {1, 2}
    assert first[Policy.UNSURE][:2] == [1, 2]
    assert set(first[Policy.RANDOM]) == set(first[Policy.UNSURE]) == set(range(6))
    assert set(first[Policy.GAIN]) == {0, 1, 2}
