"""The output of a command: lines and tables on the terminal, and files that are replaced atomically."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, TypeVar

from cli.errors import BadInput, DiskFull
from contract import files
from contract.records import RecordError

T = TypeVar("T")


def say(text: str) -> None:
    """Prints a text and a newline on standard output. What its encoding lacks is shown escaped."""
    _print(text, sys.stdout)


def tell(text: str) -> None:
    """Prints a line for the user on standard error, escaped like `say`: it may name a file whose bytes are no text."""
    _print(text, sys.stderr)
    if sys.stderr is not None:
        sys.stderr.flush()


def _print(text: str, stream: TextIO | None) -> None:
    if stream is None:  # closed by the caller, which wants to see nothing
        return
    try:
        stream.write(text + "\n")
    except UnicodeEncodeError:
        encoding = stream.encoding
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def say_result(text: str) -> None:
    """Prints what a command ends with. Raises `DiskFull` when standard output takes no more, and `BrokenPipeError` when
    its reader is gone."""
    try:
        say(text)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        raise DiskFull(
            f"The standard output takes no more ({error.strerror}); free space there, or write it to another place."
        ) from None


def drop_output() -> None:
    """Sends what is left for standard output nowhere, so that the end of the process does not fail at it again."""
    with suppress(OSError, ValueError, AttributeError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - it may be no file, or closed
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def table(rows: Iterable[Sequence[str]]) -> str:
    """Columns of equal width, separated by two blanks."""
    listed = list(rows)
    widths = [max(map(len, column)) for column in zip(*listed, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in listed
    )


def write_whole(path: Path, write: Callable[[Path, Iterable[T]], int], rows: Iterable[T]) -> int:
    """Runs `write(path, rows)`, which must be atomic (`contract.records.write_records` is). Returns the number of rows.

    Creates the folder. Raises `DiskFull` with the row at which the disk was full, `BadInput` for an invalid row; in
    both cases an existing file at `path` is unchanged.
    """
    counted = Counted(rows)
    with translate_disk_errors(path, counted), translate_record_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        return write(path, counted)


def write_json_lines(path: Path, header: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes a header line and one JSON object per line, as `write_whole` does. Returns the number of rows."""
    return write_whole(path, lambda target, items: files.write_json_lines(target, header, items), rows)


def write_text(path: Path, text: str) -> None:
    """Writes a text (UTF-8) atomically. Creates the folder. Raises `DiskFull`."""
    with translate_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(path, text)


@contextmanager
def translate_disk_errors(path: Path, rows: Counted[Any] | None = None) -> Iterator[None]:
    """Turns a write that the disk refuses into `DiskFull`, with the number of the row that was being written."""
    try:
        yield
    except OSError as error:
        if not files.disk_is_full(error):
            raise
        at = f" at row {rows.count}" if rows is not None else ""
        raise DiskFull(
            f"{path}: the disk takes no more{at} ({error.strerror or error}); free space or choose another folder, and "
            f"run again. What stood at {path} before is unchanged."
        ) from None


@contextmanager
def translate_record_errors() -> Iterator[None]:
    """Turns a record that breaks the contract into `BadInput`, which names the file and the line."""
    try:
        yield
    except RecordError as error:
        raise BadInput(str(error)) from None


class Counted(Iterable[T]):
    """Iterates over rows and counts those handed out."""

    def __init__(self, rows: Iterable[T]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[T]:
        for row in self._rows:
            self.count += 1
            yield row
