"""`fusion.json`: whether a model should replace its first stage, be fused with it, or leave it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.fusing import Advice, Of, Row
from evaluation.results.files import Made, parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionResult:
    """`weight` and `of` were fitted on `fit_queries` queries of `fit_on`, the rows measured on others."""

    task: str
    scorer: str
    identity: Mapping[str, Any]
    fit_on: str
    fit_queries: int
    queries: int
    protocol: str
    advice: Advice
    weight: float
    of: Of
    reason: str
    rows: Sequence[Row]
    seconds: float
    made: Made

    def to_json(self) -> dict[str, Any]:
        return {"kind": "fusion", **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], name: str) -> FusionResult:
        """Raise BadData, with the file's `name`, where a field is missing."""
        return parsed(cls, value, name)
