"""How many records and groups a question of MedQuAD gives, and of which kind."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RecordShares(BaseModel):
    """records of each question (medquad)"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wrong_type: int = Field(default=2, ge=0, description="most passages on the right focus, silent on what is asked")
    passing: int = Field(default=1, ge=0, description="most passages on the right focus that only touch on it")
    other_type: int = Field(
        default=1, ge=0, description="most passages labelled with another question type that may say much of it"
    )
    wrong_focus: int = Field(default=1, ge=0, description="most passages on another focus")
    instruction_share: float = Field(
        default=0.4, ge=0, le=1, description="share of the questions that also give a pair under an instruction"
    )
    direct_share: float = Field(
        default=0.5, ge=0, le=1, description="share of the records without a trace, which train direct mode"
    )


class GroupShares(BaseModel):
    """groups of each question (medquad)"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    negatives: int = Field(default=7, ge=1, description="negatives in each group; a question with fewer gives none")
    instruction_share: float = Field(
        default=0.2, ge=0, le=1, description="share of the questions that give one more group, under an instruction"
    )
