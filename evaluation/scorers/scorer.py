"""What an evaluation asks of a scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from evaluation.benchmarks.task import Query, Task


@dataclass(frozen=True, slots=True)
class Scored:
    """The score of one passage; larger is more relevant. For the service it is the log-odds of relevance.

    `trace` and how it ended (`status`) are there where the scorer reasons.
    """

    score: float
    trace: str | None = None
    status: str | None = None


class Scorer(Protocol):
    """Scores passages against a query. `score` may be called from several threads, at most `concurrency` at a time."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    @property
    def concurrency(self) -> int: ...

    def identity(self) -> Mapping[str, Any]:
        """All that decides its scores, for the journal: scores of another identity are not mixed with these."""
        ...

    def prepare(self, task: Task) -> None:
        """Get ready for a task (build an index, say). Called before any `score` of it."""
        ...

    def score(self, query: Query, passages: Sequence[tuple[str, str]]) -> list[Scored]:
        """One result for each (document id, text), in order. Raises `ScorerFailed`."""
        ...

    def close(self) -> None: ...
