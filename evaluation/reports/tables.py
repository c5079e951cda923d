"""Results as tables of texts: what the Markdown and the HTML report both show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.reports.collecting import Collected
from evaluation.reports.ranking_tables import groups, protocols, published, ranking, readings
from evaluation.reports.table import Table


def tables(collected: Collected) -> list[Table]:
    """The tables that have rows, in the order they are read."""
    made = [
        _targets(collected.of("targets")),
        ranking(collected.of("ranking")),
        published(collected),
        readings(collected.of("ranking")),
        _comparisons(collected.of("comparison")),
        _calibration(collected.of("calibration")),
        _traces(collected.of("traces")),
        _injections(collected.of("injections")),
        _rag(collected.of("rag")),
        groups(collected.of("ranking")),
        _not_run(collected.of("not_run")),
        protocols(collected.of("ranking")),
    ]
    return [one for one in made if one.rows]


def _targets(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (one["target"], one["bound"], one["measured"], {True: "met", False: "missed", None: "not measured"}[one["met"]])
        for targets in found
        for one in targets["targets"]
    ]
    return Table("Targets", "", ("target", "bound", "measured", ""), tuple(rows))


def _comparisons(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            one["system"],
            one["other"],
            one["measure"],
            f"{one['queries']:,}",
            f"{one['difference']['mean']:+.4f} [{one['difference']['low']:+.4f}, {one['difference']['high']:+.4f}]",
            f"{one['p_randomization']:.4f}",
            f"{one['p_t']:.4f}",
        )
        for one in found
    ]
    columns = ("system", "minus", "measure", "queries", "difference", "p, randomization", "p, t-test")
    return Table("Paired comparisons", "", columns, tuple(rows))


def _calibration(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for one in found:
        fitted = one["temperature"]
        after = "" if fitted is None else f"{fitted['error']:.4f} at {fitted['value']:.3f}, from {fitted['on']}"
        shown = (f"{one['pairs']:,}", f"{one['error']:.4f}", after, f"{one['brier']:.4f}", f"{one['log_loss']:.4f}")
        rows.append((one["task"], one["scorer"], *shown))
    columns = ("pairs from", "scorer", "pairs", "expected error", "with temperature", "Brier", "log loss")
    return Table("Calibration", "15 bins of equally many pairs; as served.", columns, tuple(rows))


def _traces(found: Sequence[Mapping[str, Any]]) -> Table:
    keys = ("query_right", "passage_right", "all_right", "agrees", "verdict_right")
    rows = [
        (one["task"], one["scorer"], f"{one['pairs']:,}", *(f"{100 * one[key]:.1f} %" for key in keys)) for one in found
    ]
    note = "Focus and question type, as the trace names them, against the known labels."
    columns = ("pairs from", "scorer", "pairs", "query right", "passage right", "both", "wording = verdict", "verdict")
    return Table("Traces", note, columns, tuple(rows))


def _injections(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            one["task"],
            one["scorer"],
            f"{one['protocol']['first_stage']} top-{one['protocol']['depth']}",
            f"{one['in_top']} of {one['probes']}",
            f"{one['clean_in_top']} of {one['probes']}",
            f"{one['mean_shift']:+.2f}",
        )
        for one in found
    ]
    columns = ("task", "scorer", "ranked among", "in the top 3", "without the sentence", "mean change of log-odds")
    return Table("Injected sentences", "Irrelevant passages that ask to be called relevant.", columns, tuple(rows))


def _rag(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            one["task"],
            one["scorer"],
            one["protocol"]["answered_by"],
            str(one["questions"]),
            *(f"{100 * one['accuracy'][arm]['mean']:.1f} %" for arm in ("no passages", "first stage", "reranked")),
            str(sum(one["unreadable"].values())),
        )
        for one in found
    ]
    columns = ("task", "scorer", "answered by", "questions", "no passages", "first stage", "reranked", "unreadable")
    return Table("Answers", "", columns, tuple(rows))


def _not_run(found: Sequence[Mapping[str, Any]]) -> Table:
    return Table("Not run", "", ("task", "why"), tuple((one["task"], one["not_run"]) for one in found))
