"""The agreement filter: keeps a label that enough blind judgements share."""

from __future__ import annotations

from contract.records import Record


class Agreement:
    """Drops a record with fewer than `votes` votes, or with less than `threshold` of its votes for its label.

    A record without votes (imported data) has only its label; it is kept unless `required`.
    """

    name = "agreement"

    def __init__(self, *, votes: int = 1, threshold: float = 2 / 3, required: bool = False) -> None:
        self._votes = votes
        self._threshold = threshold
        self._required = required

    def reason(self, record: Record) -> str | None:
        if record.votes is None:
            return "no judge has voted" if self._required else None
        if record.votes.true + record.votes.false < self._votes:
            return f"fewer than {self._votes} votes"
        agreeing = record.agreement
        if agreeing == 0.0:
            return "all votes are against the label"
        if agreeing + 1e-9 < self._threshold:
            return f"less than {self._threshold:.2f} of the votes are for the label"
        return None
