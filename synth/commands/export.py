"""`limrank-synth export`: training files from runs and files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import CliPositionalArg

from synth.export.formats import Format, Shape
from synth.settings import Command


class ExportSettings(Command):
    """Write one training file, and its licences, sources and checksum as OUT.about.json."""

    out: CliPositionalArg[Path] = Field(description="file to write")
    mix: list[str] = Field(
        default=[], description="run folder or file, PATH or PATH=COUNT; repeated, they are mixed in these proportions"
    )
    format: Literal["pointwise", "setwise", "listwise", "lce"] = Field(
        default="pointwise", description="kind of reranker that the file trains"
    )
    only_licence: list[str] = Field(default=[], description="keep only rows under this licence; may be repeated")
    state_intent: bool = Field(default=False, description="state in the instruction whether indirect relevance counts")
    with_trace: bool = Field(default=False, description="leave out records without a trace")
    negatives: int = Field(default=7, ge=1, description="most negatives for each relevant passage (setwise, lce)")
    least_negatives: int = Field(default=1, ge=1, description="fewest negatives for a row to be written")
    window: int = Field(default=20, ge=2, description="most passages in a list (listwise)")
    seed: int = Field(default=0, description="seed of every draw")


def run(settings: ExportSettings) -> str:
    """Run the command and return a summary."""
    from synth.export.export import export
    from synth.export.reader import ExportOptions
    from synth.export.sources import Source

    shape = Shape(
        negatives=settings.negatives,
        least_negatives=settings.least_negatives,
        window=settings.window,
        seed=settings.seed,
    )
    options = ExportOptions(
        format=Format(settings.format),
        only_licence=settings.only_licence,
        state_intent=settings.state_intent,
        with_trace=settings.with_trace,
        shape=shape,
    )
    about = export([Source.named(name) for name in settings.mix], settings.out, options)
    left_out = "".join(f"\n  left out, {reason}: {count}" for reason, count in sorted(about.left_out.items()))
    return f"{settings.out}: {about.sentence()}{left_out}"
