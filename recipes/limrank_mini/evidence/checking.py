"""Whether a made trace holds: the same reading that evaluation applies to a model's traces."""

from __future__ import annotations

from contract.evidence import read_evidence, stands_in


def fault(trace: str, asked: str, query: str, passage: str, *, relevant: bool) -> str | None:
    """The first reason why a trace must not be trained on; None when it holds. `asked` is what it repeats of the
    query."""
    found = read_evidence(trace)
    if found.quotation is None:
        return "no quotation"
    if not stands_in(found.quotation, passage):
        return "quotation is not in the passage"
    if found.relevant is not relevant:
        return "words disagree with the verdict"
    if not stands_in(asked, query) or not (found.asked or "").startswith(asked):
        return "what is asked is not in the query's words"
    return None
