"""`limrank-eval fuse`: whether a model should replace its first stage, be fused with it, or leave it alone."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from evaluation.benchmarks.names import DEFAULT, named
from evaluation.benchmarks.task import Task, sampled
from evaluation.commands.rank import slug
from evaluation.errors import BadSettings
from evaluation.first_stage import candidates, data_candidates
from evaluation.fusing import ScoredQuery, decide, fit, scored_queries
from evaluation.reports.lines import fusion_lines
from evaluation.results.files import made, write_json
from evaluation.results.fusion import FusionResult
from evaluation.scorers.open import open_scorer
from evaluation.scorers.scorer import Scorer
from evaluation.scoring import score_all
from evaluation.settings import Scoring


class FuseSettings(Scoring):
    """Fit the weight of the first stage on some queries, and decide on others whether to replace, fuse or leave it."""

    data: Path = Field(description="folder of the benchmark")
    out: Path = Field(description="folder for results; scores that `run` wrote there are not asked for again")
    benchmark: str = Field(default=DEFAULT, description="benchmark whose folder it is")
    split: str = Field(default="test", description="split that the decision is made on")
    queries: int | None = Field(default=None, ge=4, description="so many queries of it; default: all")
    fit_split: str = Field(default="dev", description="split that the weight is fitted on; never the same")
    fit_queries: int | None = Field(default=None, ge=4, description="so many queries of it; default: all")
    depth: int = Field(default=100, ge=2, description="candidates of each query")
    first_stage: str | None = Field(
        default=None, description="candidates: a name among the data, a run file, search:bm25; default: as in run"
    )


@dataclass(frozen=True, slots=True)
class _Measured:
    task: Task
    queries: list[ScoredQuery]
    stage: str
    seconds: float


def run(settings: FuseSettings) -> str:
    """Run the command and return a summary."""
    if settings.split == settings.fit_split:
        raise BadSettings(
            f"--split and --fit-split are both '{settings.split}': a weight is measured on queries that it was not "
            "fitted on; name two splits."
        )
    benchmark, stage = named(settings.benchmark), data_candidates(settings.first_stage)
    with open_scorer(settings, settings.out) as scorer:
        fitted_on, measured = (
            _score(benchmark.open(split, settings.data, stage), queries, scorer, settings)
            for split, queries in ((settings.fit_split, settings.fit_queries), (settings.split, settings.queries))
        )
        identity, name = dict(scorer.identity()), scorer.name
    decision = decide(measured.queries, fit(fitted_on.queries))
    result = FusionResult(
        task=measured.task.name,
        scorer=name,
        identity=identity,
        fit_on=fitted_on.task.name,
        fit_queries=len(fitted_on.queries),
        queries=len(measured.queries),
        protocol=f"{measured.stage} top {settings.depth}",
        advice=decision.advice,
        weight=decision.fusion.weight,
        of=decision.fusion.of,
        reason=decision.reason,
        rows=decision.rows,
        seconds=round(fitted_on.seconds + measured.seconds, 1),
        made=made(),
    )
    folder = settings.out / f"fusion-{slug(result.task)}" / slug(measured.stage) / slug(name)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "fusion.json", result.to_json())
    return fusion_lines(result)


def _score(task: Task, queries: int | None, scorer: Scorer, settings: FuseSettings) -> _Measured:
    asked = sampled(task.queries, queries)
    found, stage = candidates(task, asked, settings.first_stage, settings.depth)
    folder = settings.out / slug(task.name) / f"{slug(stage)}-{settings.depth}" / slug(scorer.name)
    scored, seconds = score_all(
        task, asked, found, scorer, folder, documents_per_call=settings.documents_per_call, out=sys.stderr
    )
    return _Measured(task, scored_queries(task, asked, found, scored), stage, seconds)
