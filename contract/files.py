"""Crash-safe files: atomic replacement, and append-only logs whose torn last line is cut off.

A file is replaced by writing a temporary file in the same folder, flushing it to disk and renaming it. Errors are
`OSError`; `disk_is_full` recognises those that freeing space resolves. Paths are taken as people write them, with `~`
for a home, and sometimes such as no file can have.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_NUMPYS = re.compile(r"\d+ requested and \d+ written")  # how `numpy.save` tells of a short write, without a number
_BLOCK = 1 << 16

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def at_home(path: str | Path) -> Path:
    """`path` with `~` replaced by the home that it stands for; as it is where there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def standing(path: str | Path) -> Path | None:
    """What stands at `path`, with `~` replaced; None where there is nothing, or no file can have that name."""
    found = at_home(path)
    try:
        return found if found.exists() else None
    except (OSError, ValueError, RuntimeError):  # too long, a null character, a loop of links
        return None


def disk_is_full(error: OSError) -> bool:
    """Whether a write failed for lack of space: a full disk, a quota or a file size limit."""
    return error.errno in _FULL or (error.errno is None and _NUMPYS.fullmatch(str(error)) is not None)


def sync(path: Path) -> None:
    """Flushes a file or a folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path, *, several_writers: bool = False) -> Iterator[Path]:
    """Yields a temporary path beside `path` to write to. On exit the file is flushed to disk and replaces `path`; after
    an error or a kill, `path` is unchanged.

    An error removes the temporary file. One left by a killed process is overwritten by the next writer.
    `several_writers` is for files that many processes may write at the same time: each process then has its own
    temporary name.
    """
    with _temporary(path, several_writers) as part:
        yield part
        sync(part)
        part.replace(path)


@contextmanager
def whole_file(path: Path, *, several_writers: bool = False) -> Iterator[IO[str]]:
    """Yields a text file (UTF-8, no newline translation) that replaces `path` on exit, as `replacing` does."""
    with _temporary(path, several_writers) as part:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


def write_text(path: Path, text: str, *, several_writers: bool = False) -> None:
    """Replaces `path` with a text, as `replacing` does."""
    with whole_file(path, several_writers=several_writers) as file:
        file.write(text)


def write_json_lines(path: Path, header: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> int:
    """Replaces `path` with a header line and one JSON object per line, as `replacing` does. Returns the number of
    rows."""
    count = 0
    with whole_file(path) as file:
        file.write(json.dumps(header, ensure_ascii=False) + "\n")
        for row in rows:
            file.write(_encode(row) + "\n")
            count += 1
    return count


def json_line(row: Mapping[str, Any], *, compact: bool = True) -> bytes:
    """One log line with its newline. A lone surrogate, which UTF-8 cannot encode, is escaped."""
    text = _encode(row) if compact else json.dumps(row, ensure_ascii=False)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(row, separators=(",", ":") if compact else None).encode() + b"\n"


def whole_lines(path: Path, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yields the byte offset and the text (with its newline) of every line from byte `start` on. Skips a last line
    without a newline, which a kill or a full disk has torn."""
    place = start
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield place, line
            place += len(line)


class LineLog:
    """An append-only file of lines, kept open by its one writer. `size` is its length in bytes.

    Opening creates a missing file and cuts off a torn last line. A line survives a kill of the process once `append`
    has returned, and a power failure once `sync` has.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            self.size = _end_of_last_line(self._file)
            os.ftruncate(self._file, self.size)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, line: bytes) -> int:
        """Appends one line, completely or not at all, and returns its byte offset. `line` ends with its only
        newline."""
        start = self.size
        try:
            _write_all(self._file, line)
        except BaseException:
            os.ftruncate(self._file, start)
            raise
        self.size = start + len(line)
        return start

    def read(self, start: int, size: int) -> bytes:
        """Reads `size` bytes from byte `start` on."""
        return os.pread(self._file, size, start)

    def sync(self) -> None:
        """Flushes the appended lines to disk."""
        os.fdatasync(self._file)

    def close(self) -> None:
        os.close(self._file)


@contextmanager
def _temporary(path: Path, several_writers: bool) -> Iterator[Path]:
    own = f".{os.getpid()}" if several_writers else ""
    part = path.with_name(f"{path.name}{own}.part")
    try:
        part.unlink(missing_ok=True)
        yield part
    except BaseException:
        with suppress(OSError):  # keep the original error, which says more
            part.unlink(missing_ok=True)
        raise


def _end_of_last_line(file: int) -> int:
    end = os.fstat(file).st_size
    while end > 0:
        begin = max(0, end - _BLOCK)
        newline = os.pread(file, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return 0


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
