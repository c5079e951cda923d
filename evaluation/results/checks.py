"""`targets.json` and `traces.json`, written by a recipe: its models' targets, and the correctness of their traces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evaluation.results.files import parsed


@dataclass(frozen=True, slots=True)
class Target:
    """`met` is None when nothing was measured, or on fewer queries than the target requires."""

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
        """Raises BadData, with the file's `name`, when a field is missing."""
        return parsed(cls, value, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class TracesResult:
    """Shares of pairs whose trace names query and passage correctly, agrees with its verdict, and has the right
    verdict."""

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
        """Raises BadData, with the file's `name`, when a field is missing."""
        return parsed(cls, value, name)
