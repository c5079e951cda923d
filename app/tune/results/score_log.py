"""The scores of an evaluation as they are made, a line for each query and model, so that a stopped one resumes."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from cli.output import translate_disk_errors
from contract.files import LineLog, json_line, whole_lines


class ScoreLog:
    """`known`: (system, query) -> passage -> score. A line that a kill has torn is cut off. Not safe for several
    processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.known: dict[tuple[str, str], dict[str, float]] = {}

    def __enter__(self) -> Self:
        with translate_disk_errors(self._path):
            self._log = LineLog(self._path)
        for _, line in whole_lines(self._path):
            row = json.loads(line)
            self.known[row["system"], row["query"]] = row["scores"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()

    def add(self, system: str, query: str, scores: dict[str, float]) -> None:
        """Appends the scores of one query. Raises `DiskFull`."""
        with translate_disk_errors(self._path):
            self._log.append(json_line({"system": system, "query": query, "scores": scores}))
        self.known[system, query] = scores
