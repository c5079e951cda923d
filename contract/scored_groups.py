"""ScoredGroup: one query with passages scored by a bi-encoder, of which one or none is the answer; and files of them.

A file is UTF-8 with one JSON object per line, after the header `{"format": "limrank.scored-groups", "version": 1}`.
Groups may differ in size. A group without a positive trains on the teacher's scores alone. Reading is strict: an
unknown key, a wrong type or a truncated line raises `RecordError` with the file and the line. Reading and writing
stream; writing is atomic.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from contract.files import write_json_lines
from contract.rows import RecordError, check_apart, check_text, check_texts, checked_row, header, read_items

FORMAT = "limrank.scored-groups"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredGroup:
    """`positive` is the index of the answer among `passages`, or None for a group that nobody judged.

    Refuses a positive whose text also occurs at another index. `teacher` has one score per passage, a bi-encoder's
    cosine similarity; it may be empty only in a group with a positive. `licence` is an SPDX-like expression of licences
    joined by ` AND `.
    """

    id: str
    query: str
    instruction: str | None = None
    passages: tuple[str, ...]
    positive: int | None
    teacher: tuple[float, ...] = ()
    source: str
    licence: str
    domain: str

    def __post_init__(self) -> None:
        check_texts(self, "id", "query", "source", "licence", "domain")
        if not isinstance(self.passages, tuple) or len(self.passages) < 2:
            raise RecordError("'passages' must be a list of at least two passages.")
        for number, passage in enumerate(self.passages):
            check_text(f"passages[{number}]", passage)
        self._check_scores()
        if self.positive is not None:
            check_apart(self.passages[self.positive], self._negatives())

    def _negatives(self) -> Iterator[str]:
        return (passage for place, passage in enumerate(self.passages) if place != self.positive)

    def _check_scores(self) -> None:
        if self.positive is not None and (
            type(self.positive) is not int or not 0 <= self.positive < len(self.passages)
        ):
            raise RecordError(f"'positive' is {self.positive!r}; it must be null or the index of a passage.")
        if self.positive is None and not self.teacher:
            raise RecordError("the group has neither 'positive' nor 'teacher', so nothing can be learned from it.")
        if not isinstance(self.teacher, tuple) or len(self.teacher) not in {0, len(self.passages)}:
            raise RecordError("'teacher' must be a list with one number for each passage, or be left out.")
        if not all(type(score) in {int, float} and math.isfinite(score) for score in self.teacher):
            raise RecordError(f"'teacher' is {self.teacher!r}; it must be a list of finite numbers.")


def is_scored_file(path: Path) -> bool:
    """Whether the first line of a file is the header of scored groups. Raises `OSError` as `open` does."""
    with path.open("rb") as file:
        try:
            found = json.loads(file.readline())
        except (ValueError, RecursionError):
            return False
    return isinstance(found, dict) and found.get("format") == FORMAT


def read_scored_groups(path: Path) -> Iterator[ScoredGroup]:
    """The groups of a file in order. Raises `RecordError` with the file and line, `OSError` as `open` does."""
    return read_items(path, FORMAT, _group)


def write_scored_groups(path: Path, groups: Iterable[ScoredGroup]) -> int:
    """Writes a file of groups and returns their number. After an error `path` is unchanged."""
    return write_json_lines(path, header(FORMAT), map(asdict, groups))


def _group(line: str) -> ScoredGroup:
    row = checked_row(line, ScoredGroup, "a scored group", ("instruction", "teacher"))
    for name in ("passages", "teacher"):
        if isinstance(row.get(name), list):
            row[name] = tuple(row[name])
    return ScoredGroup(**row)
