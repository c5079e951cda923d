"""One run's folder: its lock, its journal open for appending, and the files that describe the run.

journal.jsonl     every reply, append-only (synth.run.journal)
journal.sqlite    the position of each key in the journal; derived, may be deleted (synth.run.journal_index)
journal.reserve   disk space reserved while a run works, released when the disk is full
plan.jsonl        the inputs of the run, chosen once (synth.run.plan)
settings.json     the settings of the latest run, without keys
done.json         written last, when nothing is left to do
lock              held by the one process that works here
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from contract.files import LineLog, disk_is_full, whole_lines
from synth.errors import BadInput, DiskFull, JournalBroken, RunBusy
from synth.run.journal import (
    HEADER_START,
    JournalRow,
    check_header,
    first_line,
    new_header,
    row_from_line,
    row_to_line,
)
from synth.run.journal_index import JournalIndex, Totals, known_totals

RESERVE_BYTES = 16 * 2**20
SYNC_SECONDS = 1.0


class RunFolder:
    """The folder, locked by this process for the duration of the `with` block.

    `writing` is True for a run: only then is disk space reserved. Raises `RunBusy` when another process holds the
    folder, `JournalBroken` when a line of the journal is not a row, `DiskFull` when there is no room to begin.
    """

    def __init__(self, path: Path, *, writing: bool) -> None:
        self.path = path
        self.full = False  # replies in flight can still be written, but no new call may start
        self._writing = writing
        self._reserve = path / "journal.reserve"
        self._synced = time.monotonic()

    def __enter__(self) -> Self:
        if self._writing:
            self.path.mkdir(parents=True, exist_ok=True)
        elif not (self.path / "journal.jsonl").exists():
            raise BadInput(f"{self.path} holds no journal.jsonl: it is no run folder; give the folder of a run.")
        self._lock = _lock(self.path / "lock")
        try:
            self._open()
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._commit()
        finally:
            self._index.close()
            self._journal.close()
            self._reserve.unlink(missing_ok=True)
            os.close(self._lock)

    @property
    def totals(self) -> Totals:
        return self._index.totals

    def find(self, key: str) -> JournalRow | None:
        """The latest row of `key`."""
        place = self._index.place(key)
        if place is None:
            return None
        return row_from_line(self._journal.read(*place))

    def append(self, row: JournalRow) -> None:
        """Writes one row. Once this returns, a kill of this process does not lose it.

        On a full disk the reserved space is released for it and `full` is set. `DiskFull` means that even that was not
        enough: no part of the row is in the journal.
        """
        line = row_to_line(row)
        try:
            start = self._journal.append(line)
        except OSError as error:
            if not disk_is_full(error):
                raise
            start = self._append_in_reserve(line)
        if self._index.add(row, start, len(line)) or time.monotonic() - self._synced > SYNC_SECONDS:
            self._commit()

    def _append_in_reserve(self, line: bytes) -> int:
        self.full = True
        self._reserve.unlink(missing_ok=True)
        try:
            return self._journal.append(line)
        except OSError:
            raise DiskFull(f"No space left for {self.path / 'journal.jsonl'}; free some and run again.") from None

    def _commit(self) -> None:
        self._synced = time.monotonic()
        if self.full:
            return  # the index would need room too; the next opening updates it
        try:
            self._journal.sync()
            self._index.commit()
        except (OSError, sqlite3.OperationalError) as error:
            if isinstance(error, OSError) and not disk_is_full(error):
                raise
            self.full = True

    def _open(self) -> None:
        try:
            self._journal, journal_id = _open_journal(self.path / "journal.jsonl")
            if self._writing:
                _hold_back(self._reserve)
        except OSError as error:
            if not disk_is_full(error):
                raise
            self._reserve.unlink(missing_ok=True)
            raise DiskFull(f"No space left to begin a run in {self.path}; free {RESERVE_BYTES >> 20} MiB.") from None
        size = self._journal.size
        self._index = JournalIndex(self.path / "journal.sqlite", journal_id, size)
        for start, line, row in tail(self.path / "journal.jsonl", self._index.end):
            if self._index.add(row, start, len(line)):
                self._index.commit()
        self._index.end = self._index.end or size
        self._index.commit()


def tail(path: Path, start: int) -> Iterator[tuple[int, bytes, JournalRow]]:
    """(byte, line, row) of every complete row of a journal from byte `start` on; 0 means after the header."""
    header = first_line(path)
    check_header(path, header)
    for place, line in whole_lines(path, max(start, len(header))):
        try:
            yield place, line, row_from_line(line)
        except ValueError as error:
            raise JournalBroken(f"{path}, at byte {place}: {error}; mend or cut that line.") from None


def read_totals(path: Path) -> Totals:
    """The current totals of a run folder, also while another process works in it."""
    journal = path / "journal.jsonl"
    if not journal.exists():
        raise BadInput(f"{path} holds no journal.jsonl: it is no run folder; give the folder of a run.")
    journal_id = check_header(journal, first_line(journal))
    end, totals = known_totals(path / "journal.sqlite", journal_id, journal.stat().st_size)
    for _, _, row in tail(journal, end):
        totals.add(row)
    return totals


def is_busy(path: Path) -> bool:
    """Whether a process is working in the run folder."""
    try:
        os.close(_lock(path / "lock"))
    except RunBusy:
        return True
    return False


def _lock(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(handle, 32).decode() or "unknown"
        os.close(handle)
        raise RunBusy(f"{path.parent} is in use by process {holder}; wait for it or stop it.") from None
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    return handle


def _open_journal(path: Path) -> tuple[LineLog, str]:
    """The log without a torn last line, and the journal's id."""
    first = first_line(path) if path.exists() else b""
    if first and not HEADER_START.startswith(first[: len(HEADER_START)]):
        check_header(path, first)  # before truncating: this may not be a journal
    log = LineLog(path)
    try:
        if not log.size:
            first = new_header()
            log.append(first)
        return log, check_header(path, first)
    except BaseException:
        log.close()
        raise


def _hold_back(path: Path) -> None:
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
