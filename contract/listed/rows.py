"""Rows of several passages: which is the best (setwise), or how relevant each is (listwise)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from contract.rows import RecordError, check_text, check_texts, checked_row, read_items


class ListKind(StrEnum):
    SETWISE = "setwise"
    LISTWISE = "listwise"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRow:
    """`grades`: how relevant each passage is; at least two differ. A setwise row has 1 for the best and 0 otherwise."""

    id: str
    query: str
    instruction: str | None
    passages: tuple[str, ...]
    grades: tuple[float, ...]
    source: str
    licence: str
    domain: str

    def __post_init__(self) -> None:
        check_texts(self, "id", "query", "source", "licence", "domain")
        if len(self.passages) < 2:
            raise RecordError("'passages' must be a list of at least two passages.")
        for number, passage in enumerate(self.passages):
            check_text(f"passages[{number}]", passage)
        if len(self.grades) != len(self.passages) or not all(map(_is_number, self.grades)):
            raise RecordError("'grades' must be a list with one finite number for each passage.")
        if len(set(self.grades)) < 2:
            raise RecordError("all passages have the same grade, so nothing can be learned from their order.")

    @property
    def ranking(self) -> list[int]:
        """Indices of the passages from best to worst; those of equal grade in the order of the row."""
        return sorted(range(len(self.passages)), key=lambda index: (-self.grades[index], index))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setwise:
    id: str
    query: str
    instruction: str | None
    passages: list[str]
    best: int
    source: str
    licence: str
    domain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listwise:
    id: str
    query: str
    instruction: str | None
    passages: list[str]
    grades: list[float]
    ranking: list[int]
    source: str
    licence: str
    domain: str


def list_format(kind: ListKind) -> str:
    """The format that the first line of a file states."""
    return f"limrank.{kind}"


def read_list_rows(path: Path, kind: ListKind) -> Iterator[ListRow]:
    """The rows of an exported file in order. Raises `RecordError` with the file and the line, `OSError` as `open`
    does."""
    return read_items(path, list_format(kind), _READERS[kind])


def _setwise(line: str) -> ListRow:
    row = checked_row(line, _Setwise, "a setwise row", ())
    best, passages = row.pop("best"), _passages(row)
    if type(best) is not int or not 0 <= best < len(passages):
        raise RecordError(f"'best' is {best!r}; it must be the index of a passage.")
    grades = tuple(float(index == best) for index in range(len(passages)))
    return ListRow(**{**row, "passages": passages, "grades": grades})


def _listwise(line: str) -> ListRow:
    row = checked_row(line, _Listwise, "a listwise row", ())
    ranking, grades, passages = row.pop("ranking"), row.pop("grades"), _passages(row)
    if not isinstance(grades, list):
        raise RecordError("'grades' must be a list with one finite number for each passage.")
    made = ListRow(**{**row, "passages": passages, "grades": tuple(grades)})
    if ranking != made.ranking:
        raise RecordError(f"'ranking' is {ranking!r}, which is not the order of the grades, {made.ranking!r}.")
    return made


def _passages(row: dict[str, Any]) -> tuple[str, ...]:
    found = row.pop("passages")
    if not isinstance(found, list):
        raise RecordError(f"'passages' is {type(found).__name__}; it must be a list of texts.")
    return tuple(found)


def _is_number(value: object) -> bool:
    return type(value) in {int, float} and math.isfinite(value)  # type: ignore[arg-type]


_READERS: dict[ListKind, Callable[[str], ListRow]] = {ListKind.SETWISE: _setwise, ListKind.LISTWISE: _listwise}
