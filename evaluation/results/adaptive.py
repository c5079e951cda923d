"""`adaptive.json`: what reasoning brings for its tokens, by policy and budget, and what was decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.adaptive.ablation import Row
from evaluation.adaptive.replay import TOKENS
from evaluation.results.files import Made, parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveResult:
    """`on` and `reason` were decided on `fit_queries` queries of `fit_on`, the rows measured on others.

    `parameters`: those that were fitted, also where the gate is closed. `full_tokens`: a query's, with reasoning on
    every document. `policy`, `early_stop` and `budget` name the variant that was chosen. `counted`: what budgets and
    the rows' tokens count; of score files (`limrank-eval adaptive-runs`) the expensive scores.
    """

    task: str
    scorer: str
    identity: Mapping[str, Any]
    fit_on: str
    fit_queries: int
    queries: int
    pairs: int
    protocol: str
    on: bool
    reason: str
    policy: str
    early_stop: bool
    budget: int
    parameters: Mapping[str, Any]
    full_tokens: float
    rows: Sequence[Row]
    seconds: float
    made: Made
    counted: str = TOKENS

    def to_json(self) -> dict[str, Any]:
        return {"kind": "adaptive", **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], name: str) -> AdaptiveResult:
        """Raise BadData, with the file's `name`, where a field is missing."""
        return parsed(cls, value, name)

    @property
    def chosen(self) -> Row | None:
        """The row of the variant that was chosen."""
        wanted = (self.policy, self.early_stop, self.budget)
        return next((row for row in self.rows if (row.policy, row.early_stop, row.budget) == wanted), None)
