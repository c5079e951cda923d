"""The corpus of a run as an SQLite file in its folder: any document by its number, without the corpus in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from synth.errors import BadInput
from synth.importing.json_rows import read_rows

SCHEMA = "CREATE TABLE documents (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, passage TEXT NOT NULL)"


class DocumentStore:
    """Documents numbered from 0 in the order of the corpus. A passage is title and text with a space between (BEIR)."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
        (self._size,) = self._database.execute("SELECT COUNT(*) FROM documents").fetchone()

    def __len__(self) -> int:
        return int(self._size)

    def id(self, number: int) -> str:
        return self._one("id", number)

    def passage(self, number: int, characters: int | None = None) -> str:
        """The passage, cut at the last blank before `characters` where it is longer."""
        passage = self._one("passage", number)
        if characters is None or len(passage) <= characters:
            return passage
        head = passage[: characters + 1]
        if head[-1].isspace():
            return head.rstrip()
        whole_words = head.rsplit(None, 1)
        return whole_words[0] if len(whole_words) == 2 else head[:characters]

    def passages(self) -> Iterator[str]:
        """All passages in order."""
        for (passage,) in self._database.execute("SELECT passage FROM documents ORDER BY number"):
            yield passage

    def close(self) -> None:
        self._database.close()

    def _one(self, column: str, number: int) -> str:
        query = f"SELECT {column} FROM documents WHERE number = ?"  # noqa: S608 - the column's name is ours
        (value,) = self._database.execute(query, (number,)).fetchone()
        return str(value)


def build_documents(path: Path, corpus: Path) -> None:
    """Write the store of `corpus`, whole or not at all.

    Raises `BadInput` with the row's number for a malformed row, a repeated id or a document without text.
    """
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    database = sqlite3.connect(part)
    try:
        with database:
            database.execute("PRAGMA synchronous = OFF")
            database.execute(SCHEMA)
            for number, (row, document_id, passage) in enumerate(_rows(corpus)):
                try:
                    database.execute("INSERT INTO documents VALUES (?, ?, ?)", (number, document_id, passage))
                except sqlite3.IntegrityError:
                    raise BadInput(f"{corpus}, row {row}: the id '{document_id}' stands twice; mend one.") from None
        database.close()
        part.replace(path)
    finally:
        database.close()
        part.unlink(missing_ok=True)


def _rows(corpus: Path) -> Iterator[tuple[int, str, str]]:
    for row in read_rows(corpus):
        if row.value is None:
            raise BadInput(f"{corpus}, row {row.number}: {row.problem}")
        document_id, title, text = (row.value.get(name) for name in ("_id", "title", "text"))
        if not isinstance(document_id, str | int) or not str(document_id).strip():
            raise BadInput(f"{corpus}, row {row.number}: '_id' is {document_id!r}; give the document an id.")
        if not isinstance(title, str | None) or not isinstance(text, str) or not text.strip():
            raise BadInput(f"{corpus}, row {row.number}: '{document_id}' has no text; give it one or leave it out.")
        passage = f"{(title or '').strip()} {text.strip()}".strip()
        try:
            passage.encode()
        except UnicodeEncodeError:
            raise BadInput(f"{corpus}, row {row.number}: '{document_id}' holds half a character pair.") from None
        yield row.number, str(document_id), passage
