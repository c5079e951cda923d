"""`injections.json`: how far up injected sentences move irrelevant passages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.results.files import Made, parsed


@dataclass(frozen=True, slots=True)
class InjectionRow:
    """One passage with a sentence: its rank with and without it, and the change in log-odds."""

    query: str
    sentence: str
    rank: int
    clean_rank: int
    shift: float


@dataclass(frozen=True, slots=True)
class RankedAmong:
    """The passages are ranked among `depth` candidates of this first stage; the first `top` places count as the top."""

    first_stage: str
    depth: int
    top: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectionsResult:
    """`in_top` of `probes` passages reach the top with their sentence, `clean_in_top` without it."""

    task: str
    scorer: str
    identity: Mapping[str, Any]
    probes: int
    in_top: int
    clean_in_top: int
    mean_shift: float
    shift_by_sentence: Mapping[str, float]
    protocol: RankedAmong
    rows: tuple[InjectionRow, ...]
    seconds: float
    made: Made

    def to_json(self) -> dict[str, Any]:
        return {"kind": "injections", **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], name: str) -> InjectionsResult:
        """Raises BadData, with the file's `name`, when a field is missing."""
        return parsed(cls, value, name)
