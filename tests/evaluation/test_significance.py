"""Intervals and paired tests against exact values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.significance import interval, paired


def test_the_randomization_test_finds_the_exact_p_value() -> None:
    """Six queries, all better: of the 2^6 ways to set the signs, two are as extreme."""
    system = {str(q): 1.0 + 0.1 * q for q in range(6)}
    found = paired(system, dict.fromkeys(system, 0.5))
    assert found.p_randomization == pytest.approx(2 / 64, abs=0.005)
    assert (found.queries, found.better, found.worse) == (6, 6, 0)


def test_the_t_test_is_that_of_the_tables() -> None:
    """Differences 1, 2, 3, 4, 5: t = 3 / (sqrt(2.5) / sqrt(5)) = 4.2426 with 4 degrees of freedom, p = 0.01324."""
    found = paired({str(n): float(n) for n in range(1, 6)}, {str(n): 0.0 for n in range(1, 6)})
    assert found.p_t == pytest.approx(0.01323, abs=2e-5)
    assert found.difference.mean == pytest.approx(3.0)


def test_equal_systems_do_not_differ() -> None:
    values = {str(n): n / 10 for n in range(10)}
    found = paired(values, values)
    assert (found.p_randomization, found.p_t, found.difference.mean) == (1.0, 1.0, 0.0)


def test_only_shared_queries_are_compared() -> None:
    found = paired({"a": 1.0, "b": 0.5, "only": 0.0}, {"a": 0.5, "b": 0.5, "other": 1.0})
    assert (found.queries, found.difference.mean) == (2, 0.25)
    nothing = paired({"a": 1.0}, {"b": 1.0})
    assert nothing.queries == 0
    assert math.isnan(nothing.difference.mean)


def test_a_95_per_cent_interval_holds_the_mean_95_times_in_100() -> None:
    draw = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        found = interval(list(draw.beta(5, 2, size=80)), resamples=500)
        held += found.low <= 5 / 7 <= found.high
    assert 180 <= held <= 199  # 190 expected, with a spread of 3


def test_an_interval_follows_from_its_values_alone() -> None:
    values = [0.1, 0.9, 0.4, 1.0, 0.0]
    assert interval(values) == interval(values)
    assert interval([0.5]) == interval([0.5, 0.5])
