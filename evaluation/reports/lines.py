"""Results as single lines, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def result_line(result: Mapping[str, Any]) -> str:
    """`trec-dl/dl19 (43 queries, bm25 top-100): BM25 nDCG@10 0.9520 [0.9440, 0.9600], ...`."""
    headline, figure = next(iter(result["measures"].items()))
    protocol, against = result["protocol"], result["against_first_stage"]
    compared = next(iter(result["first_stage"].items()))
    return (
        f"{result['task']} ({result['queries']:,} queries, {protocol['first_stage']} top-{protocol['depth']}): "
        f"{result['scorer']} {headline} {interval_text(figure)}; first stage {compared[0]} {compared[1]:.4f}, "
        f"best possible {next(iter(result['best_possible'].values())):.4f}, p = {against['p_randomization']:.4f}"
    )


def interval_text(figure: Mapping[str, float], digits: int = 4) -> str:
    """`0.9520 [0.9440, 0.9600]`."""
    return f"{figure['mean']:.{digits}f} [{figure['low']:.{digits}f}, {figure['high']:.{digits}f}]"
