"""`limrank-eval calibrate`: whether scores are honest probabilities, and the temperature that makes them more so."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field

from evaluation.benchmarks.names import DEFAULT, named
from evaluation.benchmarks.task import Task
from evaluation.calibration import calibration, fit_temperature
from evaluation.commands.rank import slug
from evaluation.pairs import labelled_pairs, pairs_protocol
from evaluation.result import made, write_json
from evaluation.scorers.open import open_scorer
from evaluation.scorers.scorer import Scorer
from evaluation.scoring import score_all
from evaluation.settings import Scoring


class CalibrateSettings(Scoring):
    """Measure the expected calibration error; fit one temperature on train."""

    data: Path = Field(description="folder of the benchmark")
    out: Path = Field(description="folder for results; the same folder goes on where it stopped")
    benchmark: str = Field(default=DEFAULT, description="benchmark whose folder it is")
    split: str = Field(default="dev", description="split that is measured")
    pairs: int = Field(default=2000, ge=5, description="pairs: one answer to four BM25 negatives")
    fit_split: str | None = Field(default=None, description="split the temperature is fitted on; unset: none is fitted")
    fit_pairs: int = Field(default=2000, ge=5, description="pairs for fitting")


def act(settings: CalibrateSettings) -> str:
    """Measure; what came out, as lines for a person."""
    benchmark = named(settings.benchmark)
    task = benchmark.open(settings.split, settings.data, None)
    fit = None if settings.fit_split is None else benchmark.open(settings.fit_split, settings.data, None)
    with open_scorer(settings, settings.out) as scorer:
        found = calibrate(
            task,
            scorer,
            out=settings.out,
            pairs=settings.pairs,
            documents_per_call=settings.documents_per_call,
            fit=fit,
            fit_pairs=settings.fit_pairs,
        )
    return calibration_line(found)


def calibrate(
    task: Task,
    scorer: Scorer,
    *,
    out: Path,
    pairs: int,
    documents_per_call: int,
    fit: Task | None = None,
    fit_pairs: int = 2000,
) -> dict[str, Any]:
    """Score labelled pairs and write `calibration.json`; its content. A temperature is fitted on pairs of `fit`.

    The temperature divides the log-odds as they are served now: a checkpoint that has one already multiplies the two.
    """
    odds, labels, seconds = scored_pairs(task, scorer, out=out, pairs=pairs, documents_per_call=documents_per_call)
    found = {
        "kind": "calibration",
        "task": task.name,
        "scorer": scorer.name,
        "identity": dict(scorer.identity()),
        "pairs": len(odds),
        "relevant": sum(labels),
        **_measured(odds, labels),
        "temperature": None,
        "protocol": f"{pairs_protocol(task)}; 15 bins of equally many pairs",
        "seconds": round(seconds, 1),
        "made": made(),
    }
    if fit is not None:
        known = scored_pairs(fit, scorer, out=out, pairs=fit_pairs, documents_per_call=documents_per_call)
        value = fit_temperature(known[0], known[1])
        after = _measured([one / value for one in odds], labels)
        found["temperature"] = {"value": value, "on": fit.name, "pairs": len(known[0]), **after}
    write_json(_folder(out, task, scorer) / "calibration.json", found)
    return found


def _measured(odds: Sequence[float], labels: Sequence[bool]) -> dict[str, Any]:
    measured = asdict(calibration(odds, labels))
    return {"error": measured["error"], "brier": measured["brier"], "log_loss": measured["log_loss"]} | {
        "curve": measured["bins"]
    }


def scored_pairs(
    task: Task, scorer: Scorer, *, out: Path, pairs: int, documents_per_call: int
) -> tuple[list[float], list[bool], float]:
    """Log-odds and labels of labelled pairs, and the seconds it took."""
    queries, found = labelled_pairs(task, pairs)
    scored, seconds = score_all(
        task, queries, found, scorer, _folder(out, task, scorer), documents_per_call=documents_per_call, out=sys.stderr
    )
    odds = [scored[query.id][document].score for query in queries for document in found[query.id]]
    labels = [place == 0 for query in queries for place, _ in enumerate(found[query.id])]
    return odds, labels, seconds


def calibration_line(found: dict[str, Any]) -> str:
    """One line for the terminal."""
    fitted = found["temperature"]
    more = (
        ""
        if fitted is None
        else f"; with temperature {fitted['value']:.3f} fitted on {fitted['on']}: " + (f"{fitted['error']:.4f}")
    )
    return (
        f"{found['task']} ({found['pairs']:,} pairs): {found['scorer']} expected calibration error "
        f"{found['error']:.4f}{more}, Brier {found['brier']:.4f}, log loss {found['log_loss']:.4f}"
    )


def _folder(out: Path, task: Task, scorer: Scorer) -> Path:
    return out / f"calibration-{slug(task.name)}" / slug(scorer.name)
