"""`python -m recipes.limrank_mini measure`: fills one column of the table of targets for one model in one mode."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from evaluation.commands.rank import forget_not_run, not_run
from evaluation.errors import NotAvailable
from evaluation.scorers.open import open_scorer
from evaluation.scorers.scorer import Scorer
from evaluation.settings import Scoring
from recipes.limrank_mini.measuring.rows import Column, Row
from recipes.limrank_mini.measuring.steps import Sizes, Steps
from recipes.limrank_mini.measuring.table import Table, row_line

Step = Literal["everyday", "injections", "dl19", "unseen", "calibration", "dev", "medquad"]


class MeasureSettings(Scoring):
    """Measure one model in one mode on general text, DL19, MedQuAD and everyday questions, against the targets."""

    model_config = SettingsConfigDict(cli_prog_name="python -m recipes.limrank_mini measure")

    data: Path = Field(description="folder that holds medquad/ and, optionally, dl19/")
    general: Path | None = Field(default=None, description="folder of the general data; default: general/ under --data")
    out: Path = Field(description="folder for results; models and modes measured into one folder share a table")
    only: list[Step] = Field(default=[], description="steps to run, by commas, in this order; default: all")
    queries: int | None = Field(
        default=None, ge=1, description="most queries of each ranking; default: as in docs/models.md"
    )
    pairs: int = Field(default=2000, ge=5, description="pairs of each dev set for calibration and for quotations")
    injections: int = Field(default=20, ge=1, description="irrelevant passages with an injected sentence each")


def run(settings: MeasureSettings) -> str:
    """Runs the steps, prints each row as soon as it is measured, and returns the location of the table.

    A step whose data is not there is reported as not run. Scores and rows so far are kept when the run is stopped.
    """
    table = Table(settings.out)
    with open_scorer(settings, settings.out) as scorer:
        column = _column(scorer)
        table.begin(scorer.name, column, scorer.identity())
        sizes = Sizes(queries=settings.queries, pairs=settings.pairs, injections=settings.injections)
        general = settings.general or settings.data / "general"
        steps = Steps(settings.data, general, settings.out, column, scorer, sizes, settings.documents_per_call).named()
        for name in settings.only or steps:
            if name in steps:
                for row in _measured(settings.out, f"measure/{name}", steps[name]()):
                    table.add(scorer.name, [row])
                    _say(row_line(row, column))
    return f"{settings.out / 'measure.md'}:\n\n{table.markdown()}"


def _measured(out: Path, step: str, found: Iterator[Row]) -> Iterator[Row]:
    """The rows of a step, or a record that it was not run."""
    try:
        yield from found
    except NotAvailable as error:
        _say(not_run(out, "measure", step, str(error)))
    else:
        forget_not_run(out, step)


def _column(scorer: Scorer) -> Column:
    identity = scorer.identity()
    if identity.get("engine") == "cross-encoder" or identity.get("kind") == "cross-encoder":
        return "cross-encoder"
    if identity.get("kind") != "service":
        return "bi-encoder"
    return "reasoning" if identity.get("mode") == "reasoning" else "direct"


def _say(line: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()
