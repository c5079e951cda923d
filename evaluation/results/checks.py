"""`targets.json` and `traces.json`, which a recipe writes: the targets of its models, and how true their traces are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evaluation.results.files import parsed


@dataclass(frozen=True, slots=True)
class Target:
    """`met` is None where nothing was measured, or on fewer queries than the target asks for."""

    target: str
    bound: str
    measured: str
    met: bool | None


@dataclass(frozen=True, slots=True)
class Targets:
    """All targets of a recipe."""

    targets: tuple[Target, ...]

    @classmethod
    def from_json(cls, value: Mapping[str, Any], name: str) -> Targets:
        """Raise BadData, with the file's `name`, where a field is missing."""
        return parsed(cls, value, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class TracesResult:
    """Shares of pairs whose trace names query and passage rightly, agrees with its verdict, and has the right one."""

    task: str
    scorer: str
    pairs: int
    query_right: float
    passage_right: float
    all_right: float
    agrees: float
    verdict_right: float

    @classmethod
    def from_json(cls, value: Mapping[str, Any], name: str) -> TracesResult:
        """Raise BadData, with the file's `name`, where a field is missing."""
        return parsed(cls, value, name)
