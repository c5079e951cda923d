"""One row of a benchmark with its location, and its values converted to the required types."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.errors import BadData

_LARGEST_GRADE = 999_999  # measures count in 32 bits
_BREAKS = re.compile(r"[\t\r\n]")


@dataclass(frozen=True, slots=True)
class DataRow:
    """`place` identifies file and row in errors. The methods raise `BadData` for a value of another type."""

    place: str
    values: Mapping[str, Any]

    def check(self, columns: Sequence[str]) -> None:
        """Raises `BadData` when a column is missing."""
        if missing := [name for name in columns if name not in self.values]:
            raise self._bad(f"no column '{missing[0]}'; it has {', '.join(map(str, self.values))}")

    def id(self, name: str) -> str:
        """An id (a string or an integer) without surrounding white space."""
        return self._id(name, self.values[name])

    def ids(self, name: str) -> list[str]:
        """A list of ids; in a CSV file a JSON list."""
        value = self.values[name]
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise self._bad(f"'{name}' is {value[:60]!r}; it must be a list of ids in JSON") from None
        if not isinstance(value, list):
            raise self._bad(f"'{name}' is {type(value).__name__}; it must be a list of ids")
        return [self._id(name, item) for item in value]

    def text(self, name: str) -> str:
        """A string that is not blank; a number is converted to its digits."""
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
            raise self._bad(f"'{name}' is {value!r}; it must be a text that is not blank")
        return str(value)

    def optional(self, name: str) -> str:
        """A string, "" when missing."""
        value = self.values[name]
        if not isinstance(value, str | None):
            raise self._bad(f"'{name}' is {type(value).__name__}; it must be a text")
        return value or ""

    def grade(self, name: str) -> int:
        """An integer grade, also when written as 1.0."""
        value = self.values[name]
        try:
            grade = float(value)
        except (TypeError, ValueError, OverflowError):
            raise self._bad(f"'{name}' is {repr(value)[:40]}; it must be a whole number") from None
        if not grade.is_integer() or abs(grade) > _LARGEST_GRADE:
            raise self._bad(f"'{name}' is {repr(value)[:40]}; it must be a whole number below a million")
        return int(grade)

    def repeated(self, name: str) -> BadData:
        """The error for an id that an earlier row has already."""
        return self._bad(f"the {name} '{self.id(name)}' was given before; ids must differ")

    def _id(self, name: str, value: object) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
            raise self._bad(f"'{name}' holds {value!r}; an id is a text or a whole number")
        identity = str(value).strip()
        if _BREAKS.search(identity):
            raise self._bad(f"'{name}' holds {identity!r}; an id has no tab and no line break")
        return identity

    def _bad(self, problem: str) -> BadData:
        return BadData(f"{self.place}: {problem}.")
