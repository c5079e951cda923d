"""Settings of the corpus-grounded method."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from contract.records import Difficulty
from synth.methods.persona.settings import check_shares


class CorpusSettings(BaseModel):
    """groups from a corpus (--method corpus)"""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    documents: Path | None = Field(
        default=None, description="JSONL corpus as in BEIR (_id, title, text), or a whole BEIR folder"
    )
    split: str = Field(
        default="train",
        description="split of a BEIR folder whose questions are examples; documents judged only by others are left out",
    )
    excluded: Path | None = Field(default=None, description="file of ids of documents not to use, one a line")
    documents_licence: str = Field(default="", description="licence of the corpus (SPDX), carried by every record")
    domain: str = Field(default="general", min_length=1, description="domain of the corpus, stated in every record")
    examples: Path | None = Field(
        default=None,
        description='JSONL of queries in the voice of the domain: {"query": text, "document": text or absent}; '
        "of a BEIR folder, where unset: the split's own",
    )
    examples_licence: str = Field(default="", description="licence of the examples (SPDX), carried by every record")
    shots: int = Field(default=3, ge=1, le=50, description="examples shown for each document, drawn at random")
    sample: int | None = Field(default=None, ge=1, description="number of documents to draw at random; unset: all")
    queries: int = Field(default=1, ge=1, le=10, description="queries for each document")
    difficulties: Annotated[dict[Difficulty, float], AfterValidator(check_shares)] = Field(
        default={Difficulty.DIRECT: 0.7, Difficulty.MULTI_STEP: 0.3},
        description="JSON quotas of the queries' difficulty",
    )
    bi_encoder: str = Field(default="", description="model id or folder for sentence-transformers; empty: BM25 alone")
    bi_encoder_tokens: int = Field(default=256, ge=8, description="longest input of the bi-encoder in tokens")
    ray: str = Field(
        default="", description="address of a Ray cluster, such as auto or local, whose workers encode the documents"
    )
    candidates: int = Field(default=10, ge=1, le=1000, description="candidates for each query from each retriever")
    document_characters: int = Field(default=6000, ge=200, description="characters of a document that a prompt shows")
    positive_from: int = Field(default=8, ge=1, le=10, description="lowest score of a positive")
    negative_to: int = Field(default=3, ge=0, le=9, description="highest score of a hard negative")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.negative_to >= self.positive_from:
            raise ValueError(f"negative_to {self.negative_to} must be below positive_from {self.positive_from}")
        if Difficulty.INSTRUCTION in self.difficulties:
            raise ValueError("difficulties: queries from a corpus have no instruction; leave 'instruction' out")
        return self
