"""`limrank-eval calibrate`: measures whether scores are calibrated probabilities, and fits a temperature."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import Field

from evaluation.benchmarks.names import DEFAULT, named
from evaluation.benchmarks.task import Task
from evaluation.calibration import calibration, fit_temperature
from evaluation.commands.rank import slug
from evaluation.first_stage import labelled_pairs, pairs_protocol
from evaluation.reports.lines import calibration_line
from evaluation.results.calibration import CalibrationResult, Fitted
from evaluation.results.files import made, write_json
from evaluation.scorers.open import open_scorer
from evaluation.scorers.scorer import Scorer
from evaluation.scoring import score_all
from evaluation.settings import Scoring


class CalibrateSettings(Scoring):
    """Measure the expected calibration error; fit one temperature on train."""

    data: Path = Field(description="folder of the benchmark")
    out: Path = Field(description="folder for results; the same folder resumes a stopped run")
    benchmark: str = Field(default=DEFAULT, description="benchmark that the folder contains")
    split: str = Field(default="dev", description="split to measure")
    pairs: int = Field(default=2000, ge=5, description="pairs: one answer to four BM25 negatives")
    fit_split: str | None = Field(default=None, description="split to fit the temperature on; unset: none is fitted")
    fit_pairs: int = Field(default=2000, ge=5, description="pairs for fitting")


def run(settings: CalibrateSettings) -> str:
    """Run the command and return a summary."""
    benchmark = named(settings.benchmark)
    task = benchmark.open(settings.split, settings.data, None)
    fit = None if settings.fit_split is None else benchmark.open(settings.fit_split, settings.data, None)
    with open_scorer(settings, settings.out) as scorer:
        result = calibrate(
            task,
            scorer,
            out=settings.out,
            pairs=settings.pairs,
            documents_per_call=settings.documents_per_call,
            fit=fit,
            fit_pairs=settings.fit_pairs,
        )
    return calibration_line(result)


def calibrate(
    task: Task,
    scorer: Scorer,
    *,
    out: Path,
    pairs: int,
    documents_per_call: int,
    fit: Task | None = None,
    fit_pairs: int = 2000,
) -> CalibrationResult:
    """Scores labelled pairs and writes `calibration.json`. With `fit`, fits a temperature on pairs of that task.

    The temperature divides the log-odds as served: for a checkpoint that has one already, multiply the two.
    """
    odds, labels, seconds = scored_pairs(task, scorer, out=out, pairs=pairs, documents_per_call=documents_per_call)
    fitted = None
    if fit is not None:
        fit_odds, fit_labels, _ = scored_pairs(
            fit, scorer, out=out, pairs=fit_pairs, documents_per_call=documents_per_call
        )
        value = fit_temperature(fit_odds, fit_labels)
        after = calibration([logit / value for logit in odds], labels)
        fitted = Fitted(value=value, on=fit.name, pairs=len(fit_odds), after=after)
    result = CalibrationResult(
        task=task.name,
        scorer=scorer.name,
        identity=dict(scorer.identity()),
        pairs=len(odds),
        relevant=sum(labels),
        as_served=calibration(odds, labels),
        temperature=fitted,
        protocol=f"{pairs_protocol(task)}; 15 bins of equally many pairs",
        seconds=round(seconds, 1),
        made=made(),
    )
    write_json(_folder(out, task, scorer) / "calibration.json", result.to_json())
    return result


def scored_pairs(
    task: Task, scorer: Scorer, *, out: Path, pairs: int, documents_per_call: int
) -> tuple[list[float], list[bool], float]:
    """Log-odds and labels of the labelled pairs, and the seconds spent."""
    queries, found = labelled_pairs(task, pairs)
    scored, seconds = score_all(
        task, queries, found, scorer, _folder(out, task, scorer), documents_per_call=documents_per_call, out=sys.stderr
    )
    odds = [scored[query.id][document].score for query in queries for document in found[query.id]]
    labels = [number == 0 for query in queries for number in range(len(found[query.id]))]
    return odds, labels, seconds


def _folder(out: Path, task: Task, scorer: Scorer) -> Path:
    return out / f"calibration-{slug(task.name)}" / slug(scorer.name)
