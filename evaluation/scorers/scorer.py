"""The scorer protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from evaluation.benchmarks.task import Query, Task


@dataclass(frozen=True, slots=True)
class Scored:
    """The score of one passage; larger is more relevant. The service's score is the log-odds of relevance.

    A scorer that reasons also returns the `trace` and how it ended (`status`), and on request `probes`: (tokens,
    log-odds) of verdicts along the trace, the first before its first token and the last at its end.
    """

    score: float
    trace: str | None = None
    status: str | None = None
    probes: tuple[tuple[int, float], ...] | None = None


class Scorer(Protocol):
    """Scores passages against a query. `score` may be called from several threads, at most `concurrency` at a time."""

    @property
    def name(self) -> str:
        """The name in tables."""
        ...

    @property
    def concurrency(self) -> int: ...

    def identity(self) -> Mapping[str, Any]:
        """Everything that determines the scores: the journal separates scores by identity."""
        ...

    def prepare(self, task: Task) -> None:
        """Prepares for a task, for example by building an index. Called before `score`."""
        ...

    def score(self, query: Query, passages: Sequence[tuple[str, str]]) -> list[Scored]:
        """One result per (document id, text), in order. Raises `ScorerFailed`."""
        ...

    def close(self) -> None: ...
