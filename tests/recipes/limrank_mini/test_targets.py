"""Targets hold what was measured against their bounds, and only where enough was measured."""

from __future__ import annotations

from typing import Any

from recipes.limrank_mini.targets import targets


def measured(mean: float, low: float = 0.0, queries: int = 1146, best: float = 1.0) -> dict[str, Any]:
    value = {"mean": mean, "low": low, "high": 1.0}
    return {
        "measures": {"nDCG@10": value},
        "queries": queries,
        "of_queries": 1146,
        "best_possible": {"nDCG@10": best},
        "first_stage": {"nDCG@10": 0.5},
    }


def test_a_target_is_met_missed_or_not_measured() -> None:
    def met(step: str, found: dict[str, Any], name: str) -> bool | None:
        (value,) = [one["met"] for one in targets({step: found}) if one["target"].startswith(name)]
        assert value is None or isinstance(value, bool)
        return value

    assert met("cross-encoder medquad", measured(0.952), "limrank-mini-ce") is True
    assert met("cross-encoder medquad", measured(0.9519), "limrank-mini-ce") is False
    assert met("cross-encoder medquad", measured(0.99, queries=500), "limrank-mini-ce") is None  # a sample
    assert met("direct medquad", measured(0.88, queries=600, best=0.945), "limrank-mini, direct") is True
    assert met("direct medquad", measured(0.87, queries=600, best=0.945), "limrank-mini, direct") is False
    assert met("direct dl19", measured(0.51, queries=43), "direct, DL19") is True
    assert met("direct dl19", measured(0.49, queries=43), "direct, DL19") is False
    lower = {"difference": {"mean": 0.0, "low": -0.009, "high": 0.01}, "queries": 200}
    assert met("comparison", lower, "reasoning not below") is True
    assert met("comparison", lower | {"queries": 100}, "reasoning not below") is None
    assert met("direct calibration", {"error": 0.051, "pairs": 2000}, "direct, expected") is False
    assert met("traces", {"all_right": 0.9, "agrees": 0.985, "pairs": 200}, "traces, wording") is False
    assert met("traces", {"all_right": 0.9, "agrees": 0.985, "pairs": 200}, "traces, focus") is True
    assert all(one["met"] is None for one in targets({}))
