"""The table of what reasoning brings for its tokens."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.adaptive.replay import TOKENS
from evaluation.reports.lines import interval_text, signed_interval_text
from evaluation.reports.table import Table
from evaluation.results.adaptive import AdaptiveResult

_MEASURED = ("nDCG@10", "minus direct", "minus all reasoned, fused")


def adaptive_tables(results: Sequence[AdaptiveResult]) -> list[Table]:
    """One for each result."""
    return [_table(result) for result in results]


def _table(result: AdaptiveResult) -> Table:
    of_traces = result.counted == TOKENS  # score files have neither early stops nor traces
    rows = [
        (
            row.policy,
            *(("yes" if row.early_stop else "",) if of_traces else ()),
            "" if row.budget is None else f"{row.budget:,}",
            f"{row.tokens:,.1f}",
            f"{row.share:.1%}",
            *((f"{row.reasoned:.1f}",) if of_traces else ()),
            interval_text(row.value),
            signed_interval_text(row.against_direct),
            signed_interval_text(row.against_fused),
        )
        for row in result.rows
    ]
    stops, traces = (("early stops",), ("traces a query",)) if of_traces else ((), ())
    columns = ("policy", *stops, "budget", f"{result.counted} a query", "of all", *traces, *_MEASURED)
    state = "on" if result.on else "off"
    note = (
        f"{result.queries:,} queries, {result.protocol}; adaptive: {state}, decided on {result.fit_queries:,} queries "
        f"of {result.fit_on}: {result.reason}. Replayed; 95 % intervals, differences paired by query."
    )
    return Table(f"Adaptive reasoning: {result.task}, {result.scorer}", note, columns, tuple(rows))
