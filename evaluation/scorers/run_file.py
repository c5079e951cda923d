"""A ranking made elsewhere, given as a TREC run file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.benchmarks.task import Query, Task
from evaluation.errors import missing_is_not_available
from evaluation.scorers.scorer import Scored
from retrieval.trec import read_run

NOT_RANKED = -1e9


class RunFile:
    """The scores of a run. Candidates that the run lacks come last, in the order of the first stage."""

    concurrency = 1

    def __init__(self, path: Path) -> None:
        with missing_is_not_available():
            self._run = read_run(path)
        self.name = f"run {path.stem}"
        self._digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]

    def identity(self) -> Mapping[str, Any]:
        return {"kind": "run", "sha256": self._digest}

    def prepare(self, task: Task) -> None:
        """Nothing to do."""

    def score(self, query: Query, passages: Sequence[tuple[str, str]]) -> list[Scored]:
        found = self._run.get(query.id, {})
        return [Scored(found.get(document, NOT_RANKED)) for document, _ in passages]

    def close(self) -> None:
        """Nothing to free."""
