"""How far traces can be checked: whether what they quote stands in the passage, and whether they say what the score
says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from contract.evidence import read_evidence, stands_in
from evaluation.scorers.scorer import Scored


@dataclass(frozen=True, slots=True)
class EvidenceCounts:
    """Numbers of traces: all; those with a quotation; those whose quotation stands in the passage literally; and those
    whose conclusion in words agrees with the sign of the log-odds, which one that is missing or unclear does not."""

    traces: int
    quoting: int
    standing: int
    agreeing: int


def count_evidence(scored: Iterable[tuple[str, Scored]]) -> EvidenceCounts | None:
    """Counts over pairs of a passage's text and its score. None when no pair has a trace."""
    traces = quoting = standing = agreeing = 0
    for text, one in scored:
        if not one.trace:
            continue
        found = read_evidence(one.trace)
        traces += 1
        quoting += found.quotation is not None
        standing += found.quotation is not None and stands_in(found.quotation, text)
        agreeing += found.relevant == (one.score > 0)
    return EvidenceCounts(traces, quoting, standing, agreeing) if traces else None
