"""The protocol of a first stage: an index over passages that answers queries with the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Hit:
    """`index` is the passage's place in the sequence that was indexed, from 0; `score` is the retriever's own."""

    index: int
    score: float


class Retriever(Protocol):
    def search(self, queries: Sequence[str], depth: int) -> list[list[Hit]]:
        """For each query its `depth` best passages (fewer if the corpus is smaller), best first."""
        ...
