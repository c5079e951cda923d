"""The corpus of a run as an SQLite file in its folder: any document by number, without the corpus in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from cli.output import translate_disk_errors
from contract.files import replacing
from retrieval.words import cut_text
from synth.methods.corpus.inputs import IdAndPassage
from synth.scratch import translate_full_database

SCHEMA = "CREATE TABLE documents (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, passage TEXT NOT NULL)"


class DocumentStore:
    """Documents numbered from 0 in corpus order. A passage is title and text joined by a space (BEIR)."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
        (self._size,) = self._database.execute("SELECT COUNT(*) FROM documents").fetchone()

    def __len__(self) -> int:
        return int(self._size)

    def id(self, number: int) -> str:
        return self._column("id", number)

    def passage(self, number: int, characters: int | None = None) -> str:
        """The passage; a longer one is cut at the end of a word before `characters`."""
        passage = self._column("passage", number)
        return passage if characters is None else cut_text(passage, characters)

    def passages(self) -> Iterator[str]:
        """All passages in order."""
        for (passage,) in self._database.execute("SELECT passage FROM documents ORDER BY number"):
            yield passage

    def close(self) -> None:
        self._database.close()

    def _column(self, column: str, number: int) -> str:
        query = f"SELECT {column} FROM documents WHERE number = ?"  # noqa: S608 - our own column names
        (value,) = self._database.execute(query, (number,)).fetchone()
        return str(value)


def build_documents(path: Path, documents: Iterable[IdAndPassage]) -> None:
    """Writes the store of `documents`, whose ids must differ, atomically."""
    full = translate_full_database(f"{path}: the disk takes no more documents", "the run")
    with (
        translate_disk_errors(path),
        replacing(path) as part,
        full,
        closing(sqlite3.connect(part)) as database,
        database,
    ):
        for pragma in ("synchronous = OFF", "journal_mode = OFF"):  # safe: until it is complete it has a temporary name
            database.execute(f"PRAGMA {pragma}")
        database.execute(SCHEMA)
        rows = ((number, *document) for number, document in enumerate(documents))
        database.executemany("INSERT INTO documents VALUES (?, ?, ?)", rows)
