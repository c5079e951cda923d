"""`limrank-synth import`: converts existing labelled data into records."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import CliPositionalArg

from contract.records import Difficulty, Intent
from synth.settings import Command
from synth.sources.labels import Labels

KINDS = ("rank1", "beir")


class ImportSettings(Command):
    """Turn labelled data that exists already into records."""

    kind: CliPositionalArg[Literal["rank1", "beir"]] = Field(description="rank1 (JSON with traces) or beir (folder)")
    path: CliPositionalArg[Path] = Field(description="the JSON or JSONL file, or the folder")
    out: CliPositionalArg[Path] = Field(description="file of records to write")
    source: str = Field(default="", description="name of the source in every record")
    licence: str = Field(default="", description="licence of the data (SPDX), carried by every record")
    domain: str = Field(default="general", description="domain of every record")
    difficulty: Difficulty = Field(default=Difficulty.DIRECT, description="difficulty of every record")
    intent: Intent = Field(default=Intent.DIRECT, description="whether indirect relevance is accepted, in every record")
    split: str = Field(default="train", description="which judgements of a folder to use")
    bi_encoder: str | None = Field(
        default=None, description="sentence-transformers model id or folder that also mines; unset: only BM25"
    )
    negatives: int = Field(default=2, ge=0, description="negatives for each relevant document (beir)")
    depth: int = Field(default=100, ge=1, description="search depth for negatives")
    ceiling: float = Field(
        default=0.95,
        gt=0,
        description="skip hits that the bi-encoder scores above this share of the answer's score (beir)",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.source or not self.licence:
            raise ValueError(f"import {self.kind} needs --source and --licence: records say where they come from")
        return self


def run(settings: ImportSettings) -> str:
    """Run the command and return a summary."""
    from synth.sources.beir_records import import_beir
    from synth.sources.rank1 import import_rank1

    labels = Labels(
        source=settings.source,
        licence=settings.licence,
        domain=settings.domain,
        difficulty=settings.difficulty,
        intent=settings.intent,
    )
    if settings.kind == "rank1":
        report = import_rank1(settings.path, settings.out, labels)
    else:
        report = import_beir(
            settings.path,
            settings.out,
            labels,
            split=settings.split,
            bi_encoder=settings.bi_encoder,
            negatives=settings.negatives,
            depth=settings.depth,
            ceiling=settings.ceiling,
        )
    lines = [f"{report.written} records written to {settings.out}, {report.relevant} of them relevant.", *report.notes]
    if report.rejected:
        lines += [*report.sentences, f"{report.rejected} rows could not be used; they are in {report.rejects_file}."]
    return "\n".join(lines)
