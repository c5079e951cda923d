"""Parameters as they stand in reranker.json: read back as written, and never used where they do not fit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract.adaptive.parameters import AdaptiveError, Gate, parameters_from_json, read_gate
from tests.contract.adaptive.scripted import PARAMETERS, parameters


def written(**changes: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(json.dumps(Gate(PARAMETERS, "measured").to_json("f00d")))
    return value | changes


def test_parameters_are_read_as_they_were_written() -> None:
    assert read_gate(written(), "f00d") == Gate(PARAMETERS, "measured")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "nothing was fitted"),
        (written(fingerprint="other"), "another fingerprint"),
        (written(version=2), "version 2"),
        (written(on=False, reason="no gain: -0.01"), "no gain: -0.01"),
        (Gate(None, "no gain").to_json("f00d"), "no gain"),
        (written(mean=[[0, 1], [1, 0]]), "not ascending"),
        (written(mean=[[1, 1], [0, 0]]), "not ascending"),
        (written(fusion=[1, 2]), "fusion must hold 3"),
        (written(direct=[True, 0]), "no number"),
        (written(direct=[float("nan"), 0]), "no number"),
        (written(policy="best"), "best"),
        (written(spread=[]), "points of two numbers"),
        (written(spread=[[0, -1]]), "spread is negative"),
        (written(reasoned_range=[2, 1]), "ends before"),
        ({name: value for name, value in written().items() if name != "cap"}, "cap is missing"),
    ],
)
def test_what_does_not_fit_closes_the_gate_and_says_why(value: Any, reason: str) -> None:
    gate = read_gate(value, "f00d")
    assert gate.parameters is None
    assert reason in gate.reason


def test_parameters_that_contradict_themselves_are_refused() -> None:
    for wrong in ({"tolerance": 0.5}, {"probe_tokens": 0}, {"agreement": -1.0}, {"mean_tokens": 0.0}):
        with pytest.raises(AdaptiveError):
            parameters(**wrong)
    with pytest.raises(AdaptiveError):
        parameters_from_json({})


def test_the_map_of_unreasoned_scores_is_strictly_ascending_beyond_its_ends() -> None:
    values = [PARAMETERS.unreasoned(n / 2) for n in range(-60, 61)]
    assert values == sorted(set(values))
