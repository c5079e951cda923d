"""`result.json`: how well one scorer ranked the candidates of one task; `not_run.json` when that was impossible."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluation.benchmarks.task import Protocol
from evaluation.errors import BadData
from evaluation.evidence import EvidenceCounts
from evaluation.results.files import FORMAT, VERSION, Made, parsed, write_json, write_per_query
from evaluation.significance import Interval, Paired
from retrieval.trec import Run, write_run

PerMeasure = Mapping[str, Mapping[str, float]]
"""measure -> query -> value."""


@dataclass(frozen=True, slots=True)
class Gain(Paired):
    """The paired comparison with the first stage, and the change per query, largest first."""

    changes: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class GroupMean:
    """The mean of the headline measure over the queries of one kind."""

    queries: int
    mean: float


@dataclass(frozen=True, slots=True)
class Reading:
    """The same ranking under other judgements; `first_stage` and `best_possible` refer to the headline measure."""

    measures: Mapping[str, Interval]
    first_stage: float
    best_possible: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The measures, headline first, compared to the first stage and to the best order of its candidates.

    `endings` counts how traces ended, because one cut short by a deadline differs from the model's own.
    `without_candidates` counts the queries for which the first stage found nothing; their value is 0. `evidence` counts
    traces whose quotation and conclusion hold; None without traces.
    """

    queries: int
    of_queries: int
    pairs: int
    measures: Mapping[str, Interval]
    first_stage: Mapping[str, float]
    best_possible: Mapping[str, float]
    against_first_stage: Gain
    groups: Mapping[str, GroupMean]
    endings: Mapping[str, int]
    readings: Mapping[str, Reading]
    without_candidates: int = 0
    evidence: EvidenceCounts | None = None

    @property
    def headline(self) -> str:
        """The measure to show when there is room for one."""
        return next(iter(self.measures))

    @property
    def ranking_headline(self) -> str:
        """The headline among measures of a single ranking, which a first stage has too; p-MRR compares two rankings."""
        return next(iter(self.first_stage))

    @property
    def best(self) -> float:
        """The ranking headline of the best order."""
        return next(iter(self.best_possible.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingResult:
    """One scorer on one task. `identity` is everything that determines its scores; `protocol` states first stage and
    depth."""

    benchmark: str
    task: str
    scorer: str
    identity: Mapping[str, Any]
    protocol: Protocol
    figures: Figures
    seconds: float
    made: Made

    @property
    def stage(self) -> str:
        """`bm25 top-100`."""
        return f"{self.protocol.first_stage} top-{self.protocol.depth}"

    def to_json(self) -> dict[str, Any]:
        value = asdict(self)
        figures, seconds, made = (value.pop(name) for name in ("figures", "seconds", "made"))
        return {"format": FORMAT, "version": VERSION, **value, **figures, "seconds": seconds, "made": made}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], name: str) -> RankingResult:
        """Raises BadData, with the file's `name`, when a field is missing."""
        return parsed(cls, {**value, "figures": value}, name)


@dataclass(frozen=True, slots=True)
class NotRun:
    """A task that could not be run, and the reason."""

    benchmark: str
    task: str
    not_run: str
    made: Made

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, "version": VERSION, **asdict(self)}


def write_result(folder: Path, result: RankingResult, run: Run, values: PerMeasure) -> None:
    """Writes `run.trec`, `per_query.tsv` and, last, `result.json`. `run`: query -> document -> score, best first."""
    write_run(folder / "run.trec", run, result.scorer.replace(" ", "-"))
    write_per_query(folder / "per_query.tsv", values)
    write_json(folder / "result.json", result.to_json())


def read_result(folder: Path) -> RankingResult:
    """The result that `write_result` wrote into a folder. Raises BadData when there is none."""
    path = folder / "result.json"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["format"] != FORMAT:
            raise ValueError("it is of another kind")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadData(f"{path} cannot be read ({error}); name the folder of one result.") from None
    return RankingResult.from_json(value, str(path))
