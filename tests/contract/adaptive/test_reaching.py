"""How many documents can still reach the top: what the belief counts, and what a manifest that does not fit says."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.adaptive.curves import Curve
from contract.adaptive.parameters import AdaptiveError
from contract.adaptive.reaching import NOTHING, Fitted, Reaching, read_reaching

SAME = Curve((0.0,), (0.0,), 1.0)
OWN, FIRST = "a" * 64, "b" * 64
ODDS = st.lists(st.floats(-30, 30, allow_nan=False), max_size=60)


def reaching(spread: float, tolerance: float = 0.01) -> Reaching:
    return Reaching(SAME, Curve((0.0,), (spread,)), tolerance)


@given(ODDS, st.integers(1, 30), st.floats(0, 10), st.floats(0, 0.49))
def test_no_fewer_than_the_top_and_no_more_than_there_are(
    odds: list[float], top: int, spread: float, tolerance: float
) -> None:
    found = reaching(spread, tolerance).count(odds, top)
    assert min(top, len(odds)) <= found <= len(odds)


def test_the_surer_the_first_stage_the_fewer_are_kept() -> None:
    odds = [10.0 - place for place in range(40)]
    counts = [reaching(spread).count(odds, 5) for spread in (0.0, 0.1, 1.0, 3.0, 100.0)]
    assert counts[0] == counts[1] == 5
    assert counts == sorted(counts)
    assert 5 < counts[2] < counts[3] < counts[4] == 40


def test_scores_that_are_all_the_same_leave_all_of_them() -> None:
    assert reaching(1.0).count([2.0] * 30, 3) == 30
    assert reaching(0.0).count([2.0] * 30, 3) == 30, "nobody knows which of them"
    assert reaching(1.0).count([], 10) == 0


def test_what_is_written_is_read_again() -> None:
    found = Reaching(Curve((-3.0, 4.0), (-5.5, 6.25), 1.0), Curve((-3.0, 4.0), (0.5, 1.25)), 0.02)
    value = json.loads(json.dumps(found.to_json(OWN, "small", FIRST)))
    assert value["first"]["name"] == "small"
    assert read_reaching(value, OWN, FIRST) == Fitted(found)


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"fingerprint": "c" * 64}, "another fingerprint"),
    ({"first": {"name": "small", "fingerprint": OWN}}, "another first stage"),
    ({"first": "small"}, "another first stage"),
    ({"first": None}, "another first stage"),
    ({"version": 2}, "it has version 2, and this program reads 1"),
    ({"version": None}, "it has version None"),
    ({"mean": []}, "mean must hold points"),
    ({"mean": [[0.0, 1.0], [1.0, 0.0]]}, "not ascending"),
    ({"mean": [[1.0, 1.0], [0.0, 2.0]]}, "points of mean are not ascending"),
    ({"mean": 5}, "cannot be used"),
    ({"mean": None}, "cannot be used"),
    ({"mean": "ab"}, "cannot be used"),
    ({"mean": [5]}, "cannot be used"),
    ({"mean": {"0": 1}}, "cannot be used"),
    ({"spread": [[0.0, -1.0]]}, "a spread is negative"),
    ({"spread": [[0.0, math.nan]]}, "no number within a million of 0"),
    ({"spread": [[0.0, True]]}, "no number within a million of 0"),
    ({"spread": [[0.0, 1.0, 2.0]]}, "spread must hold points of two numbers"),
    ({"tolerance": 0.5}, r"tolerance must be in [0, 0.5)"),
    ({"tolerance": "0.1"}, "no number within a million of 0"),
    ({"tolerance": None}, "no number within a million of 0"),
]


@pytest.mark.parametrize(("changes", "why"), BROKEN, ids=lambda case: str(case)[:40])
def test_what_cannot_be_used_says_why(changes: dict[str, Any], why: str) -> None:
    found = read_reaching({**reaching(1.0).to_json(OWN, "small", FIRST), **changes}, OWN, FIRST)
    assert found.reaching is None
    assert why in found.reason


@pytest.mark.parametrize("name", ["mean", "spread", "tolerance", "first", "version", "fingerprint"])
def test_what_is_missing_says_so(name: str) -> None:
    value = reaching(1.0).to_json(OWN, "small", FIRST)
    del value[name]
    assert read_reaching(value, OWN, FIRST).reason
    assert read_reaching(None, OWN, FIRST) is NOTHING


def test_a_belief_that_contradicts_itself_is_none() -> None:
    with pytest.raises(AdaptiveError, match="not ascending"):
        Reaching(Curve((0.0, 1.0), (1.0, 0.0), 1.0), SAME)
