"""`rag.json`: a model's accuracy without passages, with the first stage's, and with reranked passages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from evaluation.results.files import Made, parsed
from evaluation.significance import Interval, Paired

ARMS = ("no passages", "first stage", "reranked")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersProtocol:
    """The sources of questions, passages and answers. The model saw `shown` of `depth` candidates."""

    source: str
    first_stage: str
    depth: int
    shown: int
    passages: str
    answered_by: str
    answered_at: str
    query: str
    temperature: float | str = 0.0  # as sent; older files do not state it, and it was 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersResult:
    """Accuracy of each arm of `ARMS`, and the replies of each without a choice: counts, shares and, over all arms,
    counts by reason."""

    benchmark: str
    task: str
    scorer: str
    identity: Mapping[str, Any]
    protocol: AnswersProtocol
    questions: int
    accuracy: Mapping[str, Interval]
    unreadable: Mapping[str, int]
    reranked_against_first_stage: Paired
    reranked_against_none: Paired
    made: Made
    unreadable_share: Mapping[str, float] = field(default_factory=dict)
    unreadable_reasons: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"kind": "rag", **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], name: str) -> AnswersResult:
        """Raises BadData, with the file's `name`, when a field is missing."""
        return parsed(cls, value, name)
