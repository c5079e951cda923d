"""Rows of a JSON file, one at a time: JSON Lines, or one array of objects of any size."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, Any

from cli.errors import BadInput
from retrieval.encoding import check_encoding, not_utf8
from retrieval.errors import MissingData

CHUNK = 1 << 20
LONGEST_LINE = 64 << 20  # bytes, which are in memory at a time
_TOO_LONG = f"longer than {LONGEST_LINE >> 20} MiB; is it a file of one JSON object a line?"
_SHOWN = 200
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Row:
    """`number` counts lines (JSON Lines) or elements (array) from 1. `value` is None when there is a `problem`."""

    number: int
    raw: str
    value: dict[str, Any] | None
    problem: str = ""


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file in order; blank lines are skipped. A bad line is a row with a `problem`.

    Raises `BadInput` for an array that is truncated or not JSON, because rows after that place cannot be told apart,
    for a file in UTF-16 or UTF-32, and for one that cannot be opened.
    """
    try:
        check_encoding(path)
        is_array = _begins_with_a_bracket(path)
    except FileNotFoundError:
        raise MissingData(f"{path} cannot be read: it does not exist; give the path of a JSON or JSONL file.") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); give the path of a JSON or JSONL file.") from None
    yield from _array_rows(path) if is_array else _line_rows(path)


def _begins_with_a_bracket(path: Path) -> bool:
    with path.open("rb") as file:
        begin = file.read(len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8).lstrip()
        while not begin and (chunk := file.read(CHUNK)):  # an array may be one line of any length
            begin = chunk.lstrip()
    return begin.startswith(b"[")


def _line_rows(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for number in count(1):
            raw = file.readline(LONGEST_LINE + 1)
            if not raw:
                return
            if len(raw) > LONGEST_LINE:
                yield Row(number, raw[:_SHOWN].decode("utf-8", "backslashreplace"), None, _TOO_LONG)
                _skip_line(file, raw)
            elif raw.strip():
                yield _line_row(number, raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw)


def _skip_line(file: IO[bytes], begun: bytes) -> None:
    part = begun
    while part and not part.endswith(b"\n"):
        part = file.readline(CHUNK)


def _line_row(number: int, raw: bytes) -> Row:
    text = raw.decode("utf-8", "backslashreplace").rstrip("\r\n")
    try:
        return _row(number, text, json.loads(raw.decode("utf-8").rstrip("\r\n")))
    except UnicodeDecodeError as error:
        return Row(number, text, None, not_utf8(error))
    except json.JSONDecodeError as error:
        return Row(
            number, text, None, f"not one JSON object ({error.msg.removesuffix(' at')} at column {error.colno})."
        )
    except RecursionError:
        return Row(number, text, None, "nested too deeply to be a row.")
    except ValueError as error:  # an integer with more digits than Python converts
        return Row(number, text, None, f"not readable as JSON ({error}).")


def _row(number: int, text: str, value: object) -> Row:
    if not isinstance(value, dict):
        return Row(number, text, None, f"a JSON {type(value).__name__}; a row must be an object.")
    problem = _half_pair(value) if _ESCAPED_HALF.search(text) else ""
    return Row(number, text, None if problem else value, problem)


def _half_pair(value: object, name: str = "a name") -> str:
    """The location of a lone surrogate, which no file or request can contain; "" if there is none."""
    if isinstance(value, str):
        half = _HALF.search(value)
        return f"'{name}' holds half of a character pair at position {half.start()}; mend it." if half else ""
    if isinstance(value, dict):
        problems = (_half_pair(key) or _half_pair(inner, key) for key, inner in value.items())
    elif isinstance(value, list):
        problems = (_half_pair(inner, name) for inner in value)
    else:
        return ""
    return next((problem for problem in problems if problem), "")


def _array_rows(path: Path) -> Iterator[Row]:
    for number, (text, value) in enumerate(_ArrayReader(path).elements(), start=1):
        yield _row(number, text, value)


class _ArrayReader:
    """Elements of one JSON array, decoded from a window on the file that grows only while an element is incomplete."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._window = ""
        self._place = 0  # position in the window; earlier characters are consumed
        self._count = 0
        self._decode = json.JSONDecoder().raw_decode
        self._file: IO[str]

    def elements(self) -> Iterator[tuple[str, Any]]:
        with self._path.open(encoding="utf-8-sig") as self._file:
            self._take("[")
            while self._next() != "]":
                yield self._element()
                self._count += 1
                if self._next() != "]":
                    self._take(",")
            self._place += 1
            if self._next():
                raise self._broken(f"'{self._window[self._place :][:40]}' stands after the array")

    def _element(self) -> tuple[str, Any]:
        self._next()
        while True:
            try:
                value, end = self._decode(self._window, self._place)
            except json.JSONDecodeError as error:
                if not self._more():
                    raise self._broken(error.msg) from None
                continue
            except RecursionError:
                raise self._broken("nested too deeply to be a row") from None
            except ValueError as error:  # an integer with more digits than Python converts
                raise self._broken(str(error)) from None
            if end == len(self._window) and self._more():
                continue  # a bare number may continue in the next chunk
            text, self._place = self._window[self._place : end], end
            return text, value

    def _next(self) -> str:
        """The next character that is not white space; "" at the end of the file."""
        while True:
            while self._place < len(self._window) and self._window[self._place] in " \t\r\n":
                self._place += 1
            if self._place < len(self._window):
                return self._window[self._place]
            if not self._more():
                return ""

    def _take(self, character: str) -> None:
        found = self._next()
        if found != character:
            raise self._broken(f"'{character}' was expected, and {f'{found!r} stands there' if found else 'it ends'}")
        self._place += 1

    def _more(self) -> bool:
        """Reads at least as much again as the window holds, so that a long element is not decoded over and over."""
        waiting = self._window[self._place :]
        try:
            chunk = self._file.read(max(CHUNK, len(waiting)))
        except UnicodeDecodeError as error:
            raise self._broken(f"not UTF-8 ({error.reason})") from None
        self._window, self._place = waiting + chunk, 0
        return bool(chunk)

    def _broken(self, problem: str) -> BadInput:
        return BadInput(
            f"{self._path}, row {self._count + 1}: the array cannot be read on from here ({problem}); mend the file or "
            f"give it as JSON Lines, where a bad row does not hide the others."
        )
