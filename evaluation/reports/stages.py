"""The tables of models and first stages: what fusing them brings, and what a cascade of two models saves."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.reports.lines import advice_text, fitted_text, interval_text, kept_text, signed_interval_text
from evaluation.reports.table import Table
from evaluation.results.cascade import CascadeResult
from evaluation.results.fusion import FusionResult

_FUSED = ("way", "nDCG@10", "minus the first stage", "minus the model")
_CASCADE = ("way", "nDCG@10", "minus the second alone", "tokens of the second", "share", "seconds", "time")


def fusion_tables(results: Sequence[FusionResult]) -> list[Table]:
    """One for each result."""
    return [_fusion(result) for result in results]


def cascade_tables(results: Sequence[CascadeResult]) -> list[Table]:
    """One for each result."""
    return [_cascade(result) for result in results]


def _fusion(result: FusionResult) -> Table:
    rows = [
        (
            row.way,
            interval_text(row.value),
            signed_interval_text(row.against_first),
            signed_interval_text(row.against_replaced),
        )
        for row in result.rows
    ]
    note = (
        f"{result.queries:,} queries, {result.protocol}. Advice: {advice_text(result)}; {fitted_text(result)}. "
        "95 % intervals, differences paired by query."
    )
    return Table(f"First stage and model: {result.task}, {result.scorer}", note, _FUSED, tuple(rows))


def _cascade(result: CascadeResult) -> Table:
    rows = [
        (
            row.way,
            interval_text(row.value),
            signed_interval_text(row.against_second),
            f"{row.second_tokens:,}",
            f"{row.share:.1%}",
            f"{row.seconds:,.1f}",
            f"{row.time:.2f}",
        )
        for row in result.rows
    ]
    note = (
        f"{result.queries:,} queries, {result.protocol}; mode {result.mode}, {kept_text(result)}. "
        "Share and time are relative to the second model alone; 95 % intervals, differences paired by query."
    )
    return Table(f"Cascade: {result.task}, {result.first} then {result.second}", note, _CASCADE, tuple(rows))
