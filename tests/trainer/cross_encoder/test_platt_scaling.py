"""Bias and temperature are found back in scores that were made with them."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.cross_encoder.platt_scaling import fit


@pytest.mark.parametrize(
    ("bias", "temperature"),
    [(0.0, 1.0), (-7.0, 0.12), (4.7, 1.7), (2.0, 6.0)],  # Newton's method without safeguards misses the last two
)
def test_bias_and_temperature_are_found_back(bias: float, temperature: float) -> None:
    draw = np.random.default_rng(0)
    odds = 2.0 * draw.normal(size=20_000)
    relevant = draw.random(len(odds)) < 1 / (1 + np.exp(-odds))
    found = fit(list(temperature * odds - bias), list(relevant))
    assert found == pytest.approx((bias, temperature), rel=0.05, abs=0.1)


def test_labels_that_can_be_separated_have_a_finite_fit() -> None:
    bias, temperature = fit([5.0, 4.0, 1.0, 0.0], [True, True, False, False])
    assert bias == pytest.approx(-2.423, abs=0.01)
    assert temperature == pytest.approx(0.135, abs=0.001)
    assert fit([1.0, -1.0], [False, True])[1] == 20.0, "scores that say the opposite count as little as they may"


def test_one_label_cannot_be_fitted() -> None:
    with pytest.raises(ValueError, match="pairs of both labels"):
        fit([1.0, 2.0], [True, True])
