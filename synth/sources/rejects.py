"""Rows that an import cannot use: kept unchanged, counted, and described in one sentence each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cli.output import translate_disk_errors
from retrieval.rejects import Listed


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """The result of an import. `sentences` describe the first rejected rows, `rejects_file` holds all of them; `notes`
    are sentences on what was imported."""

    written: int
    relevant: int
    rejected: int
    sentences: tuple[str, ...] = ()
    rejects_file: Path | None = None
    notes: tuple[str, ...] = ()


class RejectsFile(Listed):
    """The rows that an import could not use; `add` writes each immediately."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._file: IO[str] | None = None

    def add(self, file: Path, row: int, reason: str, raw: str) -> None:
        """See `retrieval.rejects.Rejects.add`."""
        super().add(file, row, reason, raw)
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

    def report(self, written: int, relevant: int, notes: tuple[str, ...] = ()) -> ImportReport:
        """The report of the whole import."""
        return ImportReport(
            written=written,
            relevant=relevant,
            rejected=self.count,
            sentences=tuple(self.sentences),
            rejects_file=self.path if self.count else None,
            notes=notes,
        )


@contextmanager
def rejects_beside(out: Path) -> Iterator[RejectsFile]:
    """The rejects of the import that writes `out`, in `OUT.rejected.jsonl`; those of an earlier import are removed."""
    rejects = RejectsFile(out.with_name(f"{out.name}.rejected.jsonl"))
    rejects.path.unlink(missing_ok=True)
    try:
        yield rejects
    finally:
        rejects.close()
