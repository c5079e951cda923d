"""Settings of LimRank-Synthesizer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from contract.records import Difficulty, Intent, NegativeType

WRITTEN = (
    NegativeType.SAME_TOPIC_OTHER_INTENT,
    NegativeType.WRONG_ENTITY,
    NegativeType.OUTDATED,
    NegativeType.CONTRADICTING,
    NegativeType.PARTIAL,
)


def check_shares(shares: dict[Any, float]) -> dict[Any, float]:
    """Rejects shares that are not positive numbers."""
    if any(share < 0 for share in shares.values()) or not sum(shares.values()) > 0:
        raise ValueError("shares must be 0 or more, and one at least more than 0")
    return shares


def _written(shares: dict[NegativeType, float]) -> dict[NegativeType, float]:
    for kind in shares:
        if kind not in WRITTEN:
            raise ValueError(f"'{kind}' is mined, not written; the written types are {', '.join(WRITTEN)}")
    return check_shares(shares)


class Domain(BaseModel):
    """One domain: its share of the queries, and the word beginnings by which a persona belongs to it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    share: float = Field(ge=0)
    words: tuple[str, ...] = ()


def _some_share(domains: dict[str, Domain]) -> dict[str, Domain]:
    check_shares({name: domain.share for name, domain in domains.items()})
    return {name: domain for name, domain in domains.items() if domain.share > 0}


DOMAINS = {
    "finance": Domain(
        share=1,
        words=(
            "bank",
            "financ",
            "invest",
            "account",
            "econom",
            "insur",
            "taxes",
            "taxation",
            "stock market",
            "trader",
            "loan",
            "budget",
        ),
    ),
    "law": Domain(
        share=1,
        words=(
            "lawyer",
            "lawmak",
            "legal",
            "legisl",
            "attorney",
            "judge",
            "court",
            "paralegal",
            "police",
            "notary",
            "human rights",
        ),
    ),
    "healthcare": Domain(
        share=1,
        words=(
            "doctor",
            "nurse",
            "patient",
            "medic",
            "health",
            "surge",
            "pharma",
            "therap",
            "clinic",
            "dental",
            "dentist",
            "hospital",
        ),
    ),
    "technology": Domain(
        share=1, words=("software", "program", "engineer", "developer", "data", "computer", "network", "cyber")
    ),
    "science": Domain(
        share=1,
        words=(
            "scien",
            "research",
            "biolog",
            "chemi",
            "physicist",
            "physics",
            "astronom",
            "geolog",
            "ecolog",
            "laborator",
        ),
    ),
    "education": Domain(
        share=1, words=("teach", "student", "professor", "school", "tutor", "librar", "educat", "lectur", "parent")
    ),
    "arts and history": Domain(
        share=1,
        words=("artist", "music", "histor", "writer", "film", "novel", "museum", "photograph", "design", "actor"),
    ),
    "home and travel": Domain(
        share=1,
        words=("chef", "cook", "travel", "home", "garden", "tour", "hotel", "mother", "father", "retired"),
    ),
}


class LimrankSettings(BaseModel):
    """persona-guided synthesis (--method limrank)"""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    seeds: Path | None = Field(
        default=None, description="JSONL of seed queries: an id (id, _id or qid) and a text (text or query)"
    )
    seeds_licence: str = Field(default="", description="licence of the seed queries (SPDX), carried by every record")
    personas: Path | None = Field(
        default=None, description='JSONL of personas: {"persona": text, "domain": name or absent}'
    )
    personas_licence: str = Field(default="", description="licence of the personas (SPDX), carried by every record")
    sample: int | None = Field(default=None, ge=1, description="number of seed queries to draw at random; unset: all")
    domains: Annotated[dict[str, Domain], AfterValidator(_some_share)] = Field(
        default=DOMAINS, description='JSON quotas: {"law": {"share": 1, "words": ["lawyer"]}, ...}'
    )
    difficulties: Annotated[dict[Difficulty, float], AfterValidator(check_shares)] = Field(
        default={Difficulty.DIRECT: 0.4, Difficulty.MULTI_STEP: 0.35, Difficulty.INSTRUCTION: 0.25},
        description="JSON quotas of the queries' difficulty",
    )
    intents: Annotated[dict[Intent, float], AfterValidator(check_shares)] = Field(
        default={Intent.DIRECT: 0.7, Intent.INDIRECT: 0.3},
        description="JSON quotas of what a query accepts: answers only, or what helps indirectly too",
    )
    negative_types: Annotated[dict[NegativeType, float], AfterValidator(_written)] = Field(
        default=dict.fromkeys(WRITTEN, 1.0), description="JSON quotas of the hard negatives' types"
    )
    negatives: int = Field(default=2, ge=1, le=5, description="hard negatives for each query, all of different types")
    votes: int = Field(default=1, ge=1, le=25, description="blind judgements of each pair")
