"""Rows that an import cannot use: kept as they came, counted, and named in one sentence each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cli.output import translate_disk_errors
from synth.errors import BadInput

SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import did. `sentences` names the first rejected rows; all of them stand in `rejects_file`."""

    written: int
    relevant: int
    rejected: int
    sentences: tuple[str, ...] = ()
    rejects_file: Path | None = None


class Rejects:
    """The rows an import could not use; `add` writes each at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.sentences: list[str] = []
        self._file: IO[str] | None = None

    def add(self, file: Path, row: int, reason: str, raw: str) -> None:
        """Keep one row. `row` counts as the file's own numbering does: lines from 1, elements of an array from 1."""
        self.count += 1
        sentence = f"{file}, row {row}: {reason}"
        if len(self.sentences) < SHOWN:
            self.sentences.append(sentence)
        with translate_disk_errors(self.path):
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
            row_text = {"file": str(file), "row": row, "reason": reason, "raw": raw}
            self._file.write(json.dumps(row_text, ensure_ascii=False) + "\n")

    def close(self) -> None:
        with translate_disk_errors(self.path):
            if self._file is not None:
                self._file.close()

    def report(self, written: int, relevant: int) -> ImportReport:
        """The report of the whole import."""
        return ImportReport(
            written=written,
            relevant=relevant,
            rejected=self.count,
            sentences=tuple(self.sentences),
            rejects_file=self.path if self.count else None,
        )


class Refusing(Rejects):
    """For inputs of which every row must be good: the first row that cannot be used raises `BadInput`."""

    def __init__(self) -> None:
        super().__init__(Path())

    def add(self, file: Path, row: int, reason: str, raw: str) -> None:
        raise BadInput(f"{file}, row {row}: {reason}")


@contextmanager
def rejects_beside(out: Path) -> Iterator[Rejects]:
    """The rejects of the import that writes `out`, in `OUT.rejected.jsonl`; those of an earlier import are removed."""
    rejects = Rejects(out.with_name(f"{out.name}.rejected.jsonl"))
    rejects.path.unlink(missing_ok=True)
    try:
        yield rejects
    finally:
        rejects.close()
