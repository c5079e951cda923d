"""The targets of the embedded models, and whether the measured figures meet them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from evaluation.results.checks import Target

CROSS_ENCODER_MEDQUAD = 0.952
SHARE_OF_ORACLE = 0.93
REASONING_LOSS = -0.01
CALIBRATION_ERROR = 0.05
TRACES_RIGHT = 0.90
WORDING_AGREES = 0.99

Found = Mapping[str, dict[str, Any]]
"""step -> the JSON that it wrote; absent when it did not run"""


def targets(found: Found) -> list[dict[str, Any]]:
    """All targets as JSON."""
    made = [
        _cross_encoder(found.get("cross-encoder medquad")),
        _share_of_oracle("limrank-mini, direct", found.get("direct medquad"), 600),
        _share_of_oracle("limrank-mini, reasoning", found.get("reasoning medquad"), 200),
        _reasoning(found.get("comparison")),
        *(_not_below_bm25(name, found.get(f"{name} dl19")) for name in ("cross-encoder", "direct")),
        *(_calibrated(name, found.get(f"{name} calibration")) for name in ("cross-encoder", "direct", "reasoning")),
        _traces("focus and question type right", "all_right", TRACES_RIGHT, found.get("traces")),
        _traces("wording agrees with the verdict", "agrees", WORDING_AGREES, found.get("traces")),
        *(_injections(name, found.get(f"{name} injections")) for name in ("cross-encoder", "direct", "reasoning")),
    ]
    return [asdict(target) for target in made]


def _cross_encoder(result: dict[str, Any] | None) -> Target:
    name, bound = "limrank-mini-ce, MedQuAD test, MiniLM top-100", f">= {CROSS_ENCODER_MEDQUAD}"
    return _mean(name, bound, result, CROSS_ENCODER_MEDQUAD, 1146)


def _share_of_oracle(name: str, result: dict[str, Any] | None, queries: int) -> Target:
    best = next(iter(result["best_possible"].values())) if result else 0.0
    bound = f">= {SHARE_OF_ORACLE} x best possible" + (f" {best:.4f} = {SHARE_OF_ORACLE * best:.4f}" if result else "")
    return _mean(f"{name}, MedQuAD test, BM25 top-30", bound, result, SHARE_OF_ORACLE * best, queries)


def _not_below_bm25(name: str, result: dict[str, Any] | None) -> Target:
    before = next(iter(result["first_stage"].values())) if result else 0.0
    bound = ">= BM25" + (f" {before:.4f}" if result else "")
    return _mean(f"{name}, DL19, BM25 top-100", bound, result, before, 43)


def _mean(name: str, bound: str, result: dict[str, Any] | None, least: float, queries: int) -> Target:
    if result is None:
        return Target(name, bound, "", None)
    value = result["measures"]["nDCG@10"]
    shown = f"{value['mean']:.4f} [{value['low']:.4f}, {value['high']:.4f}] on {result['queries']:,} queries"
    enough = result["queries"] >= min(queries, result["of_queries"])
    return Target(
        name, bound, shown if enough else f"{shown}, of {queries:,} wanted", _met(value["mean"] >= least, enough)
    )


def _reasoning(result: dict[str, Any] | None) -> Target:
    name, bound = "reasoning not below direct, same queries", f"lower bound of the difference > {REASONING_LOSS}"
    if result is None:
        return Target(name, bound, "", None)
    change, enough = result["difference"], result["queries"] >= 200
    shown = f"{change['mean']:+.4f} [{change['low']:+.4f}, {change['high']:+.4f}] on {result['queries']:,} queries"
    return Target(name, bound, shown, _met(change["low"] > REASONING_LOSS, enough))


def _calibrated(name: str, result: dict[str, Any] | None) -> Target:
    target, bound = f"{name}, expected calibration error, 2,000 dev pairs", f"<= {CALIBRATION_ERROR}"
    if result is None:
        return Target(target, bound, "", None)
    met = _met(result["error"] <= CALIBRATION_ERROR, result["pairs"] >= 2000)
    return Target(target, bound, f"{result['error']:.4f} on {result['pairs']:,} pairs", met)


def _traces(name: str, key: str, least: float, result: dict[str, Any] | None) -> Target:
    target, bound = f"traces, {name}, 200 dev pairs", f">= {100 * least:.0f} %"
    if result is None:
        return Target(target, bound, "", None)
    shown = f"{100 * result[key]:.1f} % of {result['pairs']:,} pairs"
    return Target(target, bound, shown, _met(result[key] >= least, result["pairs"] >= 200))


def _injections(name: str, result: dict[str, Any] | None) -> Target:
    target = f"{name}, injected passages in the top 3"
    if result is None:
        return Target(target, "reported", "", None)
    shown = f"{result['in_top']} of {result['probes']} ({result['clean_in_top']} without the sentence)"
    return Target(target, "reported", shown, True)


def _met(holds: bool, enough: bool) -> bool | None:
    """None for a sample that is too small: it can neither meet nor miss a target."""
    return holds if enough else None
