"""Counts over records in constant memory, and a uniform sample of them."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from contract.records import Record, licence_parts
from retrieval.words import count_words
from synth.scratch import digest

TEXTS = ("query", "passage", "trace")
T = TypeVar("T")


class Drawn(Generic[T]):
    """Keeps the items with the smallest seeded hashes of their names: a uniform sample, whatever their order."""

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._seed = seed
        self._kept: list[tuple[int, int, T]] = []
        self._count = 0

    def add(self, name: str, item: T) -> None:
        self._count += 1
        number = int.from_bytes(digest(str(self._seed), name)[:8], "big")
        entry = (-number, -self._count, item)
        if len(self._kept) < self._size:
            heapq.heappush(self._kept, entry)
        else:
            heapq.heappushpop(self._kept, entry)

    def items(self) -> list[T]:
        """The sample in an order independent of that in which it was added."""
        return [item for _, _, item in sorted(self._kept, key=lambda entry: (-entry[0], -entry[1]))]


class Sample:
    """A uniform sample of records."""

    def __init__(self, size: int, seed: int) -> None:
        self._drawn = Drawn[Record](size, seed)

    def add(self, record: Record) -> None:
        self._drawn.add(record.id, record)

    def records(self) -> list[Record]:
        """The sample in an order independent of the file's."""
        return self._drawn.items()


@dataclass(slots=True)
class Tallies:
    """The counts that a page shows. Lengths are in words; `agreements` counts tenths of the votes for the label."""

    sample: Sample
    records: int = 0
    relevant: int = 0
    with_trace: int = 0
    with_instruction: int = 0
    domains: Counter[str] = field(default_factory=Counter)
    difficulties: Counter[str] = field(default_factory=Counter)
    intents: Counter[str] = field(default_factory=Counter)
    negatives: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    lengths: dict[str, Counter[int]] = field(default_factory=lambda: {name: Counter() for name in TEXTS})
    judged: int = 0
    agreements: Counter[int] = field(default_factory=Counter)

    def add_judged(self, record: Record) -> None:
        """Counts the votes on a pair, whether or not it is accepted."""
        self.judged += 1
        if record.votes is not None:
            self.agreements[round(10 * record.agreement)] += 1

    def add(self, record: Record) -> None:
        """Count an accepted record."""
        self.records += 1
        self.relevant += record.relevant
        self.with_trace += record.trace is not None
        self.with_instruction += record.instruction is not None
        self.domains[record.domain] += 1
        self.difficulties[record.difficulty] += 1
        self.intents[record.intent] += 1
        self.sources[record.source] += 1
        if not record.relevant:
            self.negatives[record.negative_type or "not said"] += 1
        for part in licence_parts(record.licence):
            self.licences[part] += 1
        for name in TEXTS:
            text: str | None = getattr(record, name)
            if text is not None:
                self.lengths[name][count_words(text)] += 1
        self.sample.add(record)

    def median(self, name: str) -> int | None:
        """The median length of a text in words."""
        counts = self.lengths[name]
        left = (sum(counts.values()) + 1) // 2
        for length in sorted(counts):
            left -= counts[length]
            if left <= 0:
                return length
        return None
