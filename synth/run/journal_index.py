"""The position of each key's latest row in the journal, and running totals, in an SQLite file beside it.

The index is derived from the journal. It may lag behind (opening it reads the journal's tail) and may be deleted (it is
rebuilt). It keeps memory constant however long the journal is.
"""

from __future__ import annotations

import sqlite3
from dataclasses import astuple, dataclass
from pathlib import Path

from synth.run.journal import JournalRow, Status

BATCH = 2000  # rows between commits

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, start INTEGER NOT NULL, size INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS totals (
    stage TEXT, model TEXT, status TEXT, rows INTEGER, prompt_tokens INTEGER, completion_tokens INTEGER, cost REAL,
    seconds REAL, PRIMARY KEY (stage, model, status)) WITHOUT ROWID;
"""


@dataclass(slots=True)
class StageTotal:
    """The rows of one (stage, model, status): their number, tokens, cost and time."""

    stage: str
    model: str
    status: Status
    rows: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0


class Totals:
    """Sums over journal rows by stage, model and status."""

    def __init__(self, lines: list[StageTotal] | None = None) -> None:
        self._lines = {(line.stage, line.model, line.status): line for line in lines or []}

    def add(self, row: JournalRow) -> None:
        name = (row.stage, row.model, row.status)
        line = self._lines.get(name) or self._lines.setdefault(name, StageTotal(*name))
        line.rows += 1
        line.prompt_tokens += row.prompt_tokens
        line.completion_tokens += row.completion_tokens
        line.cost += row.cost
        line.seconds += row.seconds

    def lines(self) -> list[StageTotal]:
        """The totals, sorted by stage, model and status."""
        return [self._lines[name] for name in sorted(self._lines)]

    @property
    def cost(self) -> float:
        return sum(line.cost for line in self._lines.values())


class JournalIndex:
    """The index of one journal. Rows up to byte `end` of the journal are indexed."""

    def __init__(self, path: Path, journal_id: str, journal_size: int) -> None:
        self._database = _open(path, journal_id, journal_size)
        self._pending: dict[bytes, tuple[int, int]] = {}
        self.end, self.totals = _state(self._database)

    def add(self, row: JournalRow, start: int, size: int) -> bool:
        """Indexes the row at byte `start`. Returns whether a commit is due."""
        self._pending[bytes.fromhex(row.key)] = (start, size)
        self.totals.add(row)
        self.end = start + size
        return len(self._pending) >= BATCH

    def place(self, key: str) -> tuple[int, int] | None:
        """Start and size in bytes of the latest row of `key`; None if there is none."""
        name = bytes.fromhex(key)
        found = self._pending.get(name)
        if found is None:
            found = self._database.execute("SELECT start, size FROM rows WHERE key = ?", (name,)).fetchone()
        return found

    def commit(self) -> None:
        with self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO rows VALUES (?, ?, ?)",
                ((key, start, size) for key, (start, size) in sorted(self._pending.items())),
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO totals VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [astuple(line) for line in self.totals.lines()],
            )
            self._database.execute("INSERT OR REPLACE INTO meta VALUES ('end', ?)", (str(self.end),))
        self._pending.clear()

    def close(self) -> None:
        self._database.close()


def known_totals(path: Path, journal_id: str, journal_size: int) -> tuple[int, Totals]:
    """The totals as last committed and the byte up to which they count; (0, none) without an index. Writes nothing."""
    try:
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
        try:
            if _belongs(database, journal_id, journal_size):
                return _state(database)
        finally:
            database.close()
    except sqlite3.DatabaseError:
        pass  # missing or broken: the caller reads the whole journal instead
    return 0, Totals()


def _open(path: Path, journal_id: str, journal_size: int) -> sqlite3.Connection:
    """Opens the database; creates a new one when the old one is broken, belongs to another journal, or is ahead of the
    journal."""
    try:
        database = sqlite3.connect(path)
        if _belongs(database, journal_id, journal_size):
            return database
        database.close()
    except sqlite3.DatabaseError:
        pass  # rebuilt below, like a missing one
    path.unlink(missing_ok=True)
    path.with_name(path.name + "-journal").unlink(missing_ok=True)
    database = sqlite3.connect(path)
    with database:
        database.executescript(SCHEMA)
        database.execute("INSERT INTO meta VALUES ('journal', ?), ('end', '0')", (journal_id,))
    return database


def _belongs(database: sqlite3.Connection, journal_id: str, journal_size: int) -> bool:
    # Losing the index costs only time, so commits need not wait for the disk.
    database.execute("PRAGMA synchronous = OFF")
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables != {"meta", "rows", "totals"}:
        return False
    meta = dict(database.execute("SELECT name, value FROM meta"))
    return meta.get("journal") == journal_id and int(meta.get("end", journal_size + 1)) <= journal_size


def _state(database: sqlite3.Connection) -> tuple[int, Totals]:
    (end,) = database.execute("SELECT value FROM meta WHERE name = 'end'").fetchone()
    lines = [
        StageTotal(line[0], line[1], Status(line[2]), *line[3:]) for line in database.execute("SELECT * FROM totals")
    ]
    return int(end), Totals(lines)
