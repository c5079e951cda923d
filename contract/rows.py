"""Strict reading of JSON Lines files of training examples: the header, the lines, and the values of their fields.

A broken line raises `RecordError` with a sentence; `read_items` adds the file and the line.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from contract.reading import reading_key

VERSION = 1

Item = TypeVar("Item")


class RecordError(ValueError):
    """A record, a group or a file of them that breaks the contract."""


def read_items(path: Path, file_format: str, read: Callable[[str], Item]) -> Iterator[Item]:
    """Yields `read(line)` for each line after the header. Raises `RecordError` with the file and line, `OSError` as
    `open` does."""
    for number, line in _lines(path, file_format):
        try:
            yield read(line)
        except RecordError as error:
            raise RecordError(f"{path}, line {number}: {error}") from None


def header(file_format: str) -> dict[str, Any]:
    """The first line of a file."""
    return {"format": file_format, "version": VERSION}


def checked_row(line: str, kind: type[Any], name: str, optional: Collection[str]) -> dict[str, Any]:
    """The object on a line, with exactly the fields of the dataclass `kind`; those in `optional` may be missing. Errors
    call the kind `name`."""
    try:
        value = json.loads(line, object_pairs_hook=_unrepeated)
    except RecursionError:
        raise RecordError("the line is nested too deeply to be an example.") from None
    except json.JSONDecodeError as error:
        raise RecordError(f"not one JSON object ({error.msg} at column {error.colno}).") from None
    except RecordError:
        raise
    except ValueError as error:  # an integer with more digits than Python converts
        raise RecordError(f"not readable as JSON ({error}).") from None
    return checked_keys(value, kind, name, optional, "the line")


def checked_keys(value: object, kind: type[Any], name: str, optional: Collection[str], where: str) -> dict[str, Any]:
    """The same for a value that is parsed already; `where` locates it in errors."""
    if not isinstance(value, Mapping):
        raise RecordError(f"{where} is {type(value).__name__}; it must be an object.")
    known = [field.name for field in fields(kind)]
    unknown = [key for key in value if key not in known]
    if unknown:
        raise RecordError(f"'{unknown[0]}' is not a field of {name}; its fields are {', '.join(known)}.")
    missing = [key for key in known if key not in value and key not in optional]
    if missing:
        raise RecordError(f"{where} has no '{missing[0]}', which {name} needs.")
    return dict(value)


def check_text(name: str, value: object) -> None:
    """Raises `RecordError` unless the value is a string that is not blank and that UTF-8 can encode."""
    if not isinstance(value, str):
        raise RecordError(f"'{name}' is {type(value).__name__}; it must be a text.")
    if not value.strip():
        raise RecordError(f"'{name}' is blank; give it a text.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RecordError(f"'{name}' holds half of a character pair at position {error.start}; mend it.") from None


def check_texts(row: object, *names: str, optional: Iterable[str] = ("instruction",)) -> None:
    """Raises `RecordError` unless these attributes of `row` are texts, as `check_text` has it. Those of `optional` may
    be None."""
    for name in names:
        check_text(name, getattr(row, name))
    for name in optional:
        if (value := getattr(row, name)) is not None:
            check_text(name, value)


def check_apart(positive: str, negatives: Iterable[str]) -> None:
    """Raises `RecordError` when a negative reads the same as the positive."""
    key = reading_key(positive)
    for number, passage in enumerate(negatives):
        if reading_key(passage) == key:
            raise RecordError(f"negative {number} has the same text as the positive; leave it out.")


def check_member(name: str, value: object, kind: type[StrEnum]) -> None:
    """Raises `RecordError` unless the value is a member of `kind`."""
    if not isinstance(value, kind):
        raise RecordError(f"'{name}' is {value!r}; it must be one of {', '.join(kind)}.")


def member(name: str, value: object, kind: type[StrEnum]) -> StrEnum:
    """The member of `kind` with that value. Raises `RecordError`."""
    if not isinstance(value, str) or value not in set(kind):
        raise RecordError(f"'{name}' is {value!r}; it must be one of {', '.join(kind)}.")
    return kind(value)


def _lines(path: Path, file_format: str) -> Iterator[tuple[int, str]]:
    with path.open("rb") as file:
        _check_header(path, file.readline(), file_format)
        for number, raw in enumerate(file, start=2):
            try:
                yield number, raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise RecordError(f"{path}, line {number}: not UTF-8 at byte {error.start} of the line.") from None


def _check_header(path: Path, raw: bytes, file_format: str) -> None:
    expected = json.dumps(header(file_format))
    try:
        found = json.loads(raw.removeprefix(codecs.BOM_UTF8))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("format") != file_format:
        shown = raw[:80].decode("utf-8", "replace").strip()
        raise RecordError(f"{path}, line 1: '{shown}' is not the header of this kind of file; it should be {expected}.")
    if found != header(file_format):
        raise RecordError(
            f"{path}, line 1: version {found.get('version')!r} is not one this program reads; it reads {expected}."
        )


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise RecordError(f"the key '{next(name for name in names if names.count(name) > 1)}' stands twice.")
    return row
