"""Queries and grades by a language model: the corpus method of limrank-synth, on the documents of either side."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import AppError
from app.tune.documents.passages import Passage
from app.tune.queries.made import WRITTEN, Query
from app.tune.queries.own import OwnQuery
from app.tune.settings import Tune
from cli.errors import BadSettings
from cli.output import write_text
from contract.files import json_line
from synth.errors import BudgetSpent
from synth.estimate import StageEstimate, estimate
from synth.llm.stage import Role
from synth.methods.corpus.method import ScoredQuery
from synth.methods.corpus.settings import CorpusSettings
from synth.pipeline import run, scored_queries
from synth.run.folder import read_totals
from synth.run.usable import check_usable
from synth.settings import Method, RunSettings

TESTED = 0.2  # share of the queries that are written for documents held out
_MOST_EXAMPLES = 50
_ROLES = {"corpus.queries": Role.GENERATOR, "corpus.judge": Role.JUDGE}


class EndpointUnusable(AppError):
    """Some calls got no reply, or none that could be used."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs: for training, or for the documents held out."""

    name: str
    folder: Path
    passages: Sequence[Passage]
    sample: int

    @property
    def run_folder(self) -> Path:
        return self.folder / "run"


class Writer:
    """Both runs under `folder`. `say` takes lines of progress."""

    def __init__(self, settings: Tune, folder: Path, bi_encoder: Path | str, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._folder = folder
        self._bi_encoder = str(bi_encoder)
        self._say = say

    def sides(self, passages: Sequence[Passage], held_out: frozenset[str]) -> list[Side]:
        """The runs, with as many queries as there are passages for."""
        apart = {
            "training": [passage for passage in passages if passage.document not in held_out],
            "test": [passage for passage in passages if passage.document in held_out],
        }
        tested = max(2, round(TESTED * self._settings.llm_queries))
        wanted = {"training": self._settings.llm_queries - tested, "test": tested}
        return [Side(name, self._folder / name, found, min(wanted[name], len(found))) for name, found in apart.items()]

    def prepare(self, sides: Sequence[Side], own: Sequence[OwnQuery], made: Sequence[Query]) -> None:
        """Write the corpora and the examples of how people ask: the user's own queries that are not judged, else
        headings and questions of the documents trained on."""
        examples = [query.text for query in own if not query.relevant] or [query.text for query in made]
        if not examples:
            raise BadSettings(
                "The documents hold no heading and no question to show as examples; give some: --queries."
            )
        for side in sides:
            _write_rows(side.folder / "corpus.jsonl", ({"_id": each.id, "text": each.text} for each in side.passages))
            _write_rows(side.folder / "examples.jsonl", ({"query": text} for text in examples[:_MOST_EXAMPLES]))

    def estimates(self, sides: Sequence[Side]) -> list[StageEstimate]:
        """The calls that are still to be made, and their cost. Makes none."""
        return [stage for side in sides for stage in estimate(self._run_settings(side, None))]

    def write(self, sides: Sequence[Side]) -> None:
        """Make both runs, or the rest of them. Raises `CommandError`."""
        for side in sides:
            spent = sum(self.spent(other) for other in sides if other is not side)
            left = None if self._settings.budget is None else max(self._settings.budget - spent, 1e-9)
            settings = self._run_settings(side, left)
            try:
                run(settings, _Lines(f"{side.name}: ", self._say))
            except BudgetSpent as error:
                raise EndpointUnusable(str(error)) from None
            if not (side.run_folder / "done.json").exists():
                raise EndpointUnusable(
                    f"Some calls to {self._settings.llm} got no reply; the same command asks them again."
                )
            check_usable(side.run_folder / "journal.jsonl", _ROLES, settings.endpoints)

    def spent(self, side: Side) -> float:
        """The cost of a run until now."""
        return read_totals(side.run_folder).cost if (side.run_folder / "journal.jsonl").exists() else 0.0

    def scored(self, side: Side) -> Iterator[ScoredQuery]:
        """The queries of a finished run with their grades."""
        return scored_queries(side.run_folder)

    def _run_settings(self, side: Side, budget: float | None) -> RunSettings:
        endpoint = self._settings.endpoint()
        licence = self._settings.licence
        return RunSettings(
            run=side.run_folder,
            method=Method.CORPUS,
            generator=endpoint,
            judge=endpoint,
            budget=budget,
            report_seconds=30.0,
            corpus=CorpusSettings(
                documents=side.folder / "corpus.jsonl",
                documents_licence=licence,
                examples=side.folder / "examples.jsonl",
                examples_licence=licence,
                domain="documents",
                sample=side.sample,
                candidates=self._settings.llm_candidates,
                bi_encoder=self._bi_encoder,
            ),
        )


def as_query(scored: ScoredQuery, *, held_out: bool, least: int) -> Query:
    """A query with its grades; those below `least` do not count as an answer."""
    relevant = {name: grade for name, grade in scored.scores.items() if grade >= least}
    return Query(f"{WRITTEN}/{scored.id}", scored.text, WRITTEN, relevant, held_out)


def _write_rows(path: Path, rows: Iterator[Mapping[str, Any]]) -> None:
    write_text(path, b"".join(map(json_line, rows)).decode())


class _Lines(io.StringIO):
    """A text file whose lines go to `say`."""

    def __init__(self, prefix: str, say: Callable[[str], None]) -> None:
        super().__init__()
        self._prefix = prefix
        self._say = say

    def write(self, text: str, /) -> int:
        for line in text.split("\n"):
            if line.strip():
                self._say(self._prefix + line.strip())
        return len(text)

    def isatty(self) -> bool:
        return False
