"""`limrank-synth verify`: filters records."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import CliPositionalArg

from synth.filters.lengths import BOUNDS, Bounds
from synth.filters.names import FILTERS
from synth.settings import Command


class VerifySettings(Command):
    """Keep the records that pass every filter, and report the dropped ones with reasons."""

    source: CliPositionalArg[Path] = Field(description="run folder or file of records")
    out: CliPositionalArg[Path] = Field(description="file of records to write; those dropped go to OUT.dropped.jsonl")
    against: Path | None = Field(
        default=None, description="file of records with known labels: report the filters' precision and recall on them"
    )
    filters: list[str] = Field(default=list(FILTERS), description=f"filters to run: {', '.join(FILTERS)}")
    votes: int = Field(default=1, ge=1, description="fewest votes on a pair that was voted on")
    agreement: float = Field(default=2 / 3, gt=0, le=1, description="least share of the votes for the label")
    votes_required: bool = Field(default=False, description="drop records that nobody voted on")
    conclusion_required: bool = Field(default=False, description="drop records whose trace has no conclusion")
    lengths: dict[str, tuple[int, int]] = Field(
        default={name: (bounds.least, bounds.most) for name, bounds in BOUNDS.items()},
        description='JSON of fewest and most words: {"passage": [5, 3000]}; texts not named have no bounds',
    )
    languages: list[str] = Field(default=["en"], description="languages to keep (ISO 639-1)")
    evaluation: list[str] = Field(
        default=[], description="evaluation folder not to overlap with: FOLDER or FOLDER:SPLIT; may be repeated"
    )
    overlap_words: int = Field(default=13, ge=2, description="length in words of a run that counts as overlap")
    overlap_common: int = Field(
        default=10, ge=1, description="a run shared by more texts of an evaluation set is a set phrase and is ignored"
    )
    overlap_least: float = Field(
        default=0.0, ge=0, le=1, description="least share of a text's runs that must overlap; 0: one run is enough"
    )
    similarity: float = Field(
        default=0.8, gt=0, le=1, description="Jaccard similarity of query and passage from which a record is a copy"
    )

    @model_validator(mode="after")
    def _lengths_that_can_be(self) -> Self:
        for name, (least, most) in self.lengths.items():
            if name not in BOUNDS:
                raise ValueError(f"lengths: '{name}' is no text of a record; they are {', '.join(BOUNDS)}")
            if not 0 <= least <= most:
                raise ValueError(f"lengths: {least} to {most} words for '{name}' cannot be; give fewest, then most")
        return self

    def bounds(self) -> dict[str, Bounds]:
        """The length bounds in the form that the filter takes."""
        return {name: Bounds(least, most) for name, (least, most) in self.lengths.items()}


def run(settings: VerifySettings) -> str:
    """Run the command and return the counts."""
    from synth.export.sources import Source
    from synth.filters.chain import FilterSettings
    from synth.filters.decontamination import EvaluationSet
    from synth.filters.report import verify_table
    from synth.filters.verify import verify
    from synth.pipeline import examples

    source = Source(settings.source)
    records = examples(settings.source) if settings.source.is_dir() else source.records()
    report = verify(
        records,
        settings.out,
        FilterSettings(
            only=settings.filters,
            votes=settings.votes,
            agreement=settings.agreement,
            votes_required=settings.votes_required,
            conclusion_required=settings.conclusion_required,
            bounds=settings.bounds(),
            languages=settings.languages,
            evaluation=[EvaluationSet.named(name) for name in settings.evaluation],
            overlap_words=settings.overlap_words,
            overlap_common=settings.overlap_common,
            overlap_least=settings.overlap_least,
            similarity=settings.similarity,
        ),
        against=settings.against,
        cost=source.cost(),
    )
    return verify_table(report)
