"""The protocol of a first stage: an index over passages that returns the best of them for a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Hit:
    """`index` is the passage's position in the indexed sequence, from 0; `score` is the retriever's own."""

    index: int
    score: float


class Retriever(Protocol):
    def search(self, queries: Sequence[str], depth: int) -> list[list[Hit]]:
        """The `depth` best passages for each query (fewer in a smaller corpus), best first."""
        ...
