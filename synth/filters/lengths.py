"""The length filter: bounds in words, for any script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from contract.records import Record
from retrieval.words import count_words


@dataclass(frozen=True, slots=True)
class Bounds:
    """The fewest and the most words, both inclusive."""

    least: int
    most: int


BOUNDS = {
    "query": Bounds(2, 200),
    "passage": Bounds(5, 3000),
    "trace": Bounds(3, 2000),
    "instruction": Bounds(2, 300),
}


class Lengths:
    """Drops a record with a text outside its bounds; missing texts are not checked."""

    name = "length"

    def __init__(self, bounds: Mapping[str, Bounds] = BOUNDS) -> None:
        self._bounds = dict(bounds)

    def reason(self, record: Record) -> str | None:
        for name, bounds in self._bounds.items():
            text: str | None = getattr(record, name)
            if text is None:
                continue
            words = count_words(text)
            if words < bounds.least:
                return f"{name} of less than {bounds.least} words"
            if words > bounds.most:
                return f"{name} of more than {bounds.most} words"
        return None
