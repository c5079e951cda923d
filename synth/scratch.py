"""Sets and groups of texts too large for memory, in a temporary SQLite file.

The only importer of sqlite3 for scratch work. The page cache is 16 MiB per scratch database; everything else is on
disk, so that a million rows take no more memory than a thousand.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from synth.errors import DiskFull

SQLITE_IOERR = 10


@contextmanager
def scratch(folder: Path | None = None) -> Iterator[sqlite3.Connection]:
    """An empty database in `folder` (default: the system's temporary folder), removed at the end.

    Raises `DiskFull` when the disk is full.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".limrank-scratch-", dir=folder) as place:
        connection = sqlite3.connect(Path(place) / "scratch.sqlite", isolation_level=None)
        try:
            for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-16384", "temp_store=FILE"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("BEGIN")
            remedy = "the output" if folder is not None else "temporary files (TMPDIR)"
            with translate_full_database(f"{place}: the disk takes no more while rows are being sorted", remedy):
                yield connection
        finally:
            connection.close()


@contextmanager
def translate_full_database(what: str, remedy: str) -> Iterator[None]:
    """Turns SQLite's error for a full disk into `DiskFull`. `what` says what happened; `remedy` names the files for
    which another folder can be chosen."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_FULL, SQLITE_IOERR):
            raise
        raise DiskFull(f"{what} ({error}); free space or choose another folder for {remedy}, and run again.") from None


def digest(*parts: str) -> bytes:
    """A 16-byte hash of a sequence of texts; lengths are hashed too, so ('ab', 'c') and ('a', 'bc') differ."""
    hasher = blake2b(digest_size=16)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        hasher.update(len(encoded).to_bytes(8, "big"))
        hasher.update(encoded)
    return hasher.digest()


class SeenKeys:
    """A set of digests on disk, each with the row where it was first seen."""

    def __init__(self, connection: sqlite3.Connection, table: str = "seen") -> None:
        self._connection = connection
        self._insert = f"INSERT OR IGNORE INTO {table} VALUES (?, ?)"  # noqa: S608 - our own table names
        self._select = f"SELECT row FROM {table} WHERE key = ?"  # noqa: S608
        connection.execute(f"CREATE TABLE {table} (key BLOB PRIMARY KEY, row INTEGER) WITHOUT ROWID")

    def first_row(self, key: bytes, row: int) -> int | None:
        """None if `key` is new (it is then stored with `row`), otherwise the row where it was first seen."""
        if self._connection.execute(self._insert, (key, row)).rowcount == 1:
            return None
        found: tuple[int] = self._connection.execute(self._select, (key,)).fetchone()
        return found[0]


class GroupedTexts:
    """Texts grouped by key. Groups are ordered by their first text, the texts of a group by `add`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("CREATE TABLE part (key BLOB PRIMARY KEY, number INTEGER) WITHOUT ROWID")
        connection.execute(
            "CREATE TABLE item (part INTEGER, position INTEGER, text TEXT, PRIMARY KEY (part, position))"
        )
        self._groups = 0
        self._items = 0

    def add(self, key: bytes, text: str) -> None:
        """Adds a text to the group of `key`."""
        if self._connection.execute("INSERT OR IGNORE INTO part VALUES (?, ?)", (key, self._groups)).rowcount == 1:
            self._groups += 1
        row: tuple[int] = self._connection.execute("SELECT number FROM part WHERE key = ?", (key,)).fetchone()
        self._connection.execute("INSERT INTO item VALUES (?, ?, ?)", (row[0], self._items, text))
        self._items += 1

    def __iter__(self) -> Iterator[list[str]]:
        current: list[str] = []
        number = None
        rows: Iterable[tuple[int, str]] = self._connection.execute(
            "SELECT part, text FROM item ORDER BY part, position"
        )
        for group, text in rows:
            if group != number and current:
                yield current
                current = []
            number = group
            current.append(text)
        if current:
            yield current
