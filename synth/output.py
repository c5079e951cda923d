"""Files written whole or not at all: the name appears when the last row is on the disk. A full disk is a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from contract import files
from contract.records import RecordError
from synth.errors import BadInput, DiskFull

T = TypeVar("T")


def write_whole(path: Path, write: Callable[[Path, Iterable[T]], int], rows: Iterable[T]) -> int:
    """`write(path, rows)`, which must be atomic (`contract.records.write_records` is); the number of rows written.

    Raises `DiskFull` with the row at which the disk took no more, `BadInput` for a row that is no record. Either way
    what stood at `path` before stands there still.
    """
    counter = _Counter(rows)
    with full_disk_is_a_sentence(path, counter), bad_record_is_a_sentence():
        path.parent.mkdir(parents=True, exist_ok=True)
        return write(path, counter)


def write_json_lines(path: Path, header: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> int:
    """A header line and one JSON object per line, atomically; the number of rows."""
    return write_whole(path, lambda target, items: files.write_json_lines(target, header, items), rows)


def write_text(path: Path, text: str) -> None:
    """One text, atomically, UTF-8."""
    with full_disk_is_a_sentence(path, None):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(path, text)


@contextmanager
def full_disk_is_a_sentence(path: Path, counter: _Counter[Any] | None) -> Iterator[None]:
    """Turn a write that the disk refuses into `DiskFull`, with the number of the row it was at."""
    try:
        yield
    except OSError as error:
        if not files.disk_is_full(error):
            raise
        at = f" at row {counter.count}" if counter is not None else ""
        raise DiskFull(
            f"{path}: the disk takes no more{at} ({error.strerror}); free space or choose another folder, and run "
            f"again. What stood at {path} before is unchanged."
        ) from None


@contextmanager
def bad_record_is_a_sentence() -> Iterator[None]:
    """Turn a record that breaks the agreement into `BadInput`, whose message names the file and the line."""
    try:
        yield
    except RecordError as error:
        raise BadInput(str(error)) from None


class _Counter(Iterable[T]):
    """The rows, with a count of those handed out."""

    def __init__(self, rows: Iterable[T]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[T]:
        for row in self._rows:
            self.count += 1
            yield row
