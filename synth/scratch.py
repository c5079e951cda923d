"""Sets and sorted piles too large for memory: an SQLite file that lives as long as the work and is removed after it.

One importer of sqlite3 for scratch work. The page cache is 16 MiB per scratch; everything else is on the disk, so that
a million rows cost no more memory than a thousand.
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
    """An empty database in `folder` (default: the system's folder for temporary files), removed at the end.

    Raises `DiskFull` where the disk takes no more.
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
            with full_database_is_a_sentence(f"{place}: the disk takes no more while rows are being sorted", remedy):
                yield connection
        finally:
            connection.close()


@contextmanager
def full_database_is_a_sentence(what: str, remedy: str) -> Iterator[None]:
    """Turn what SQLite says of a full disk into `DiskFull`: `what` happened, and for what to choose another folder."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_FULL, SQLITE_IOERR):
            raise
        raise DiskFull(f"{what} ({error}); free space or choose another folder for {remedy}, and run again.") from None


def digest(*parts: str) -> bytes:
    """16 bytes that stand for a sequence of texts; a separator keeps ('ab', 'c') and ('a', 'bc') apart."""
    hasher = blake2b(digest_size=16)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        hasher.update(len(encoded).to_bytes(8, "big"))
        hasher.update(encoded)
    return hasher.digest()


class SeenKeys:
    """A set of digests on the disk, with the row at which each was first seen."""

    def __init__(self, connection: sqlite3.Connection, table: str = "seen") -> None:
        self._connection = connection
        self._insert = f"INSERT OR IGNORE INTO {table} VALUES (?, ?)"  # noqa: S608 - the table's name is ours
        self._select = f"SELECT row FROM {table} WHERE key = ?"  # noqa: S608
        connection.execute(f"CREATE TABLE {table} (key BLOB PRIMARY KEY, row INTEGER) WITHOUT ROWID")

    def first_row(self, key: bytes, row: int) -> int | None:
        """None if `key` is new (it is then kept, with `row`), else the row it was first seen at."""
        if self._connection.execute(self._insert, (key, row)).rowcount == 1:
            return None
        found: tuple[int] = self._connection.execute(self._select, (key,)).fetchone()
        return found[0]


class Piles:
    """Texts piled by key: piles in the order their first text came, the texts of a pile in the order they came."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("CREATE TABLE pile (key BLOB PRIMARY KEY, number INTEGER) WITHOUT ROWID")
        connection.execute("CREATE TABLE item (pile INTEGER, place INTEGER, text TEXT, PRIMARY KEY (pile, place))")
        self._piles = 0
        self._items = 0

    def add(self, key: bytes, text: str) -> None:
        """Put one text on the pile of `key`."""
        if self._connection.execute("INSERT OR IGNORE INTO pile VALUES (?, ?)", (key, self._piles)).rowcount == 1:
            self._piles += 1
        row: tuple[int] = self._connection.execute("SELECT number FROM pile WHERE key = ?", (key,)).fetchone()
        self._connection.execute("INSERT INTO item VALUES (?, ?, ?)", (row[0], self._items, text))
        self._items += 1

    def __iter__(self) -> Iterator[list[str]]:
        current: list[str] = []
        number = None
        rows: Iterable[tuple[int, str]] = self._connection.execute("SELECT pile, text FROM item ORDER BY pile, place")
        for pile, text in rows:
            if pile != number and current:
                yield current
                current = []
            number = pile
            current.append(text)
        if current:
            yield current
