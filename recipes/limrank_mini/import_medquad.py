"""`python -m recipes.limrank_mini import`: converts a MedQuAD folder into records and groups."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from recipes.limrank_mini.medquad.groups import GroupShares
from recipes.limrank_mini.medquad.importing import MedquadReport, import_medquad
from recipes.limrank_mini.medquad.records import RecordShares
from synth.settings import Command


class ImportSettings(Command):
    """Turn MedQuAD's labels into records with traces and into groups."""

    model_config = SettingsConfigDict(cli_prog_name="python -m recipes.limrank_mini import")

    path: CliPositionalArg[Path] = Field(description="BEIR folder whose rows have focus and qtype in their metadata")
    out: CliPositionalArg[Path] = Field(description="file of records to write")
    groups_out: Path | None = Field(default=None, description="file of LCE groups to write; required")
    split: str = Field(default="train", description="which judgements of the folder to use")
    excluded: Path | None = Field(default=None, description="file of ids of documents not to use")
    bi_encoder: str | None = Field(
        default=None, description="sentence-transformers model id or folder that also mines; unset: only BM25"
    )
    depth: int = Field(default=100, ge=1, description="search depth for negatives")
    medquad_records: RecordShares = RecordShares()
    medquad_groups: GroupShares = GroupShares()

    @model_validator(mode="after")
    def _has_groups_out(self) -> Self:
        if self.groups_out is None:
            raise ValueError("import needs --groups-out, the file of groups to write")
        return self


def run(settings: ImportSettings) -> str:
    """Runs the import and returns a summary. Raises `SynthError`."""
    if settings.groups_out is None:
        raise AssertionError("the settings were checked before")
    report = import_medquad(
        settings.path,
        settings.out,
        settings.groups_out,
        split=settings.split,
        excluded_file=settings.excluded,
        bi_encoder=settings.bi_encoder,
        depth=settings.depth,
        record_shares=settings.medquad_records,
        group_shares=settings.medquad_groups,
    )
    return _summary(settings, report)


def _summary(settings: ImportSettings, report: MedquadReport) -> str:
    lines = [
        f"{report.records} records written to {settings.out}, {report.relevant} of them relevant, "
        f"{report.with_trace} with a trace.",
        f"{report.groups} groups written to {settings.groups_out}.",
        *(f"  negatives, {name}: {count}" for name, count in report.negatives.most_common()),
        *(f"  instruction, {name}: {count}" for name, count in report.instructions.most_common()),
        *(f"  left out, {reason}: {count}" for reason, count in sorted(report.left_out.items())),
    ]
    return "\n".join(lines)
