"""`limrank-synth audit`: one HTML page on a run or a file."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from synth.settings import Command


class AuditSettings(Command):
    """Write one HTML page with plots and random examples, to be read by a person."""

    source: CliPositionalArg[Path] = Field(description="run folder or file of records")
    out: CliPositionalArg[Path] = Field(description="HTML file to write")
    examples: int = Field(default=100, ge=0, le=10_000, description="number of examples to show")
    seed: int = Field(default=0, description="seed of the draw of the examples")


def run(settings: AuditSettings) -> str:
    """Run the command and return a summary."""
    from synth.audit.audit import write_audit

    tallies = write_audit(settings.source, settings.out, shown=settings.examples, seed=settings.seed)
    return f"{settings.out}: {tallies.records} examples, {tallies.relevant} of them relevant."
