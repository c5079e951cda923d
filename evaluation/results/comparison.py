"""`comparison.json`: the difference between two results on the same queries, with interval and tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.results.files import Made, parsed
from evaluation.significance import Paired


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`system` minus `other` on one measure."""

    system: str
    other: str
    measure: str
    found: Paired
    made: Made

    def to_json(self) -> dict[str, Any]:
        names = {"system": self.system, "other": self.other, "measure": self.measure}
        return {"kind": "comparison", **names, **asdict(self.found), "made": asdict(self.made)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], name: str) -> Comparison:
        """Raises BadData, with the file's `name`, when a field is missing."""
        return parsed(cls, {**value, "found": value}, name)
