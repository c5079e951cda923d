"""Expected calibration error against hand-made bins; the temperature that is fitted back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.calibration import calibration, fit_temperature


def odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_the_error_is_the_weighted_gap_of_equal_bins() -> None:
    """Two bins of four: 0.2 with one of four relevant (gap 0.05), 0.9 with two of four (gap 0.4)."""
    scores = [odds(0.2)] * 4 + [odds(0.9)] * 4
    labels = [True, False, False, False, True, True, False, False]
    found = calibration(scores, labels, bins=2)
    assert found.error == pytest.approx((0.05 + 0.4) / 2)
    assert [one.count for one in found.curve] == [4, 4]
    assert found.brier == pytest.approx((1 * 0.64 + 3 * 0.04 + 2 * 0.01 + 2 * 0.81) / 8)
    assert found.log_loss == pytest.approx(
        -(math.log(0.2) + 3 * math.log(0.8) + 2 * math.log(0.9) + 2 * math.log(0.1)) / 8
    )


def test_bins_hold_equally_many_pairs() -> None:
    draw = np.random.default_rng(0)
    found = calibration(list(draw.normal(size=2000)), list(draw.random(2000) < 0.5))
    assert len(found.curve) == 15
    assert {one.count for one in found.curve} == {133, 134}
    assert [one.confidence for one in found.curve] == sorted(one.confidence for one in found.curve)


def test_extreme_scores_do_not_overflow() -> None:
    found = calibration([800.0, -800.0], [True, False])
    assert (found.error, found.log_loss) == (0.0, 0.0)
    assert calibration([-800.0], [True]).log_loss == pytest.approx(800.0)


def test_the_temperature_of_overconfident_scores_is_found() -> None:
    draw = np.random.default_rng(1)
    honest = draw.normal(scale=2.0, size=20_000)
    labels = draw.random(20_000) < 1 / (1 + np.exp(-honest))
    loud = [float(one) for one in 3.0 * honest]
    temperature = fit_temperature(loud, list(labels))
    assert temperature == pytest.approx(3.0, rel=0.05)
    before = calibration(loud, list(labels))
    after = calibration([one / temperature for one in loud], list(labels))
    assert after.error < 0.02 < 0.1 < before.error
    assert after.log_loss < before.log_loss


def test_the_temperature_keeps_within_bounds() -> None:
    assert fit_temperature([1.0, -1.0], [True, False]) == pytest.approx(0.05, rel=0.01)  # perfect: ever colder
    assert fit_temperature([1.0, -1.0], [False, True]) == pytest.approx(20.0, rel=0.01)  # all wrong: ever hotter
