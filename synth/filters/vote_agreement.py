"""How far the blind votes on a pair agree with the label that was intended."""

from __future__ import annotations

from contract.records import Record


def agreement(record: Record) -> float:
    """Share of the votes, in [0, 1], that say what the record's label says; 1 where there were no votes."""
    if record.votes is None:
        return 1.0
    agreeing = record.votes.true if record.relevant else record.votes.false
    return agreeing / (record.votes.true + record.votes.false)


def by_majority(record: Record) -> bool:
    """True where more than half of the votes agree with the label."""
    return agreement(record) > 0.5
