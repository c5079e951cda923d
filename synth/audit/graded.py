"""Pairs that are no examples: rejected ones with their reasons, and the scores of a corpus run with its thresholds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contract.files import whole_lines
from contract.records import Record, RecordError, record_from_json
from synth.audit.tallies import Drawn
from synth.methods.corpus.method import ScoredQuery


@dataclass(frozen=True, slots=True)
class Rejected:
    """`reason` names who rejected the pair and why."""

    record: Record
    reason: str


class RejectedSample:
    """A uniform sample of the rejected pairs, and the count of each reason's first words."""

    def __init__(self, size: int, seed: int) -> None:
        self._drawn = Drawn[Rejected](size, seed)
        self.reasons: Counter[str] = Counter()

    def add(self, rejected: Rejected) -> None:
        self.reasons[rejected.reason.partition(":")[0]] += 1
        self._drawn.add(rejected.record.id, rejected)

    def pairs(self) -> list[Rejected]:
        return self._drawn.items()


class Scores:
    """The scores (0 to 10) of a corpus run: how many pairs have each, and a sample of queries with all of theirs."""

    def __init__(self, negative_to: int, positive_from: int, size: int, seed: int) -> None:
        self.negative_to = negative_to
        self.positive_from = positive_from
        self._drawn = Drawn[ScoredQuery](size, seed)
        self.counts: Counter[int] = Counter()
        self.queries = 0
        self.without_positive = 0

    def add(self, query: ScoredQuery) -> None:
        self.queries += 1
        self.counts.update(query.scores.values())
        self.without_positive += max(query.scores.values()) < self.positive_from
        self._drawn.add(query.id, query)

    def sampled(self) -> list[ScoredQuery]:
        return self._drawn.items()

    @property
    def between(self) -> int:
        """The pairs that neither threshold labels."""
        return sum(count for score, count in self.counts.items() if self.negative_to < score < self.positive_from)


def dropped_beside(file: Path) -> Iterator[Rejected]:
    """What `verify` dropped when it wrote a file of records; nothing where it did not write it."""
    path = file.with_name(f"{file.name}.dropped.jsonl")
    if not path.exists():
        return
    for _, line in whole_lines(path):
        try:
            row = json.loads(line)
            record = record_from_json(json.dumps(row["record"]))
            yield Rejected(record, f"{row['filter']}: {row['reason']}")
        except (ValueError, KeyError, TypeError, RecordError):
            continue  # a line of another kind of file


def by_votes(record: Record) -> Rejected:
    """A pair that the judges' majority does not accept."""
    votes = record.votes
    said = "" if votes is None else f": {votes.true} true, {votes.false} false"
    return Rejected(record, f"the judges disagree with the label{said}")
