"""`limrank-eval adaptive`: whether and where reasoning pays for a checkpoint, and the parameters of mode adaptive."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from contract.checkpoint.manifest import FILE_NAME, Manifest, ManifestError, read_adapter_manifest
from evaluation.adaptive.ablation import ablation
from evaluation.adaptive.gate import Decision, decide
from evaluation.adaptive.traces import RecordedQuery, recorded
from evaluation.benchmarks.names import DEFAULT, named
from evaluation.benchmarks.task import Task, sampled
from evaluation.commands.rank import slug
from evaluation.errors import BadSettings
from evaluation.first_stage import candidates, data_candidates
from evaluation.reports.adaptive import adaptive_tables
from evaluation.reports.lines import adaptive_line
from evaluation.reports.page import render
from evaluation.reports.table import markdown
from evaluation.results.adaptive import AdaptiveResult
from evaluation.results.files import made, write_json
from evaluation.scorers.open import open_scorer
from evaluation.scorers.scorer import Scorer
from evaluation.scoring import score_all
from evaluation.settings import Scoring


class AdaptiveSettings(Scoring):
    """Record traces with probes, fit mode adaptive, and replay every policy under every budget."""

    data: Path = Field(description="folder of the benchmark")
    out: Path = Field(description="folder for results; the same folder goes on where it stopped")
    benchmark: str = Field(default=DEFAULT, description="benchmark whose folder it is")
    split: str = Field(default="test", description="split that policies are measured on")
    queries: int | None = Field(default=None, ge=4, description="so many queries of it; default: all")
    fit_split: str = Field(default="dev", description="split that parameters are fitted and decided on")
    fit_queries: int | None = Field(default=None, ge=4, description="so many queries of it; default: all")
    depth: int = Field(default=30, ge=2, description="candidates of each query")
    first_stage: str | None = Field(
        default=None, description="candidates: a name among the data, a run file, search:bm25; default: as in run"
    )
    probe_tokens: int = Field(default=8, ge=1, description="tokens between two recorded probes of a trace")
    write: Path | None = Field(
        default=None, description="folder of the measured checkpoint, into whose reranker.json the parameters go"
    )


@dataclass(frozen=True, slots=True)
class Sample:
    """Some queries of a task: how many, and where their candidates come from."""

    task: Task
    queries: int | None
    depth: int
    first_stage: str | None


def run(settings: AdaptiveSettings) -> str:
    """Run the command and return a summary."""
    if settings.model is None and settings.url is None:
        raise BadSettings("Only a service reasons: name one with --model or --url.")
    settings = settings.model_copy(update={"mode": "reasoning"})
    benchmark = named(settings.benchmark)
    stage = data_candidates(settings.first_stage)
    fit, measure = (
        Sample(benchmark.open(split, settings.data, stage), queries, settings.depth, settings.first_stage)
        for split, queries in ((settings.fit_split, settings.fit_queries), (settings.split, settings.queries))
    )
    with open_scorer(settings, settings.out, probe_tokens=settings.probe_tokens) as scorer:
        identity = dict(scorer.identity())
        target = None if settings.write is None else measured_manifest(settings.write, identity)
        fitted_on, spent = record(fit, scorer, settings.out, settings.documents_per_call)
        measured, more = record(measure, scorer, settings.out, settings.documents_per_call)
        name = scorer.name
    decision = decide(fitted_on, settings.probe_tokens, int(identity["max_reasoning_tokens"]))
    result = _result(decision, (fit, fitted_on), (measure, measured), name, identity, spent + more)
    write_adaptive(settings.out / f"adaptive-{slug(measure.task.name)}" / slug(name), result)
    if settings.write is not None and target is not None:
        replace(target, adaptive=decision.gate.to_json(target.fingerprint)).write(settings.write)
    return adaptive_line(result)


def record(sample: Sample, scorer: Scorer, out: Path, documents_per_call: int) -> tuple[list[RecordedQuery], float]:
    """The traces of a sample, those in the journal not asked for again, and the seconds they took over all runs."""
    task = sample.task
    asked = sampled(task.queries, sample.queries)
    found, stage = candidates(task, asked, sample.first_stage, sample.depth)
    folder = out / f"traces-{slug(task.name)}" / f"{slug(stage)}-{sample.depth}" / slug(scorer.name)
    scored, seconds = score_all(
        task, asked, found, scorer, folder, documents_per_call=documents_per_call, out=sys.stderr
    )
    return recorded(task, asked, found, scored), seconds


def write_adaptive(folder: Path, result: AdaptiveResult) -> None:
    """Write `adaptive.json`, and the same as Markdown, as a page and as a plot."""
    from evaluation.reports import plots  # here, as matplotlib takes a second to import

    folder.mkdir(parents=True, exist_ok=True)
    shown, title = adaptive_tables([result]), f"Adaptive reasoning: {result.scorer}"
    curve = plots.tokens_curve(result)
    (folder / "adaptive.svg").write_text(curve, encoding="utf-8")
    text = "\n".join([f"# {title}\n", *map(markdown, shown)])
    (folder / "adaptive.md").write_text(text, encoding="utf-8")
    page = render(title, shown, {"nDCG@10 by reasoning tokens": curve})
    (folder / "adaptive.html").write_text(page, encoding="utf-8")
    write_json(folder / "adaptive.json", result.to_json())


def measured_manifest(folder: Path, identity: Mapping[str, Any]) -> Manifest:
    """The manifest that parameters go into. Raises BadSettings unless it is that of the measured model."""
    try:
        manifest = read_adapter_manifest(folder)
    except (ManifestError, OSError) as error:
        raise BadSettings(f"--write {folder} has no {FILE_NAME} to write into: {error}") from None
    if manifest.fingerprint != identity.get("fingerprint"):
        raise BadSettings(
            f"--write {folder} has the fingerprint {manifest.fingerprint[:12]}..., and the measured model "
            f"{str(identity.get('fingerprint'))[:12]}...; name the folder of the measured model."
        )
    return manifest


def _result(
    decision: Decision,
    fit: tuple[Sample, list[RecordedQuery]],
    measured: tuple[Sample, list[RecordedQuery]],
    scorer: str,
    identity: Mapping[str, Any],
    seconds: float,
) -> AdaptiveResult:
    (fit_sample, fit_queries), (sample, queries) = fit, measured
    rows = ablation(queries, decision.parameters)
    return AdaptiveResult(
        task=sample.task.name,
        scorer=scorer,
        identity=identity,
        fit_on=fit_sample.task.name,
        fit_queries=len(fit_queries),
        queries=len(queries),
        pairs=sum(len(query.traces) for query in queries),
        protocol=f"{sample.first_stage or sample.task.candidates_name} top {sample.depth}",
        **decision.stated(),
        full_tokens=max(row.tokens for row in rows if row.policy.startswith("all reasoned")),
        rows=rows,
        seconds=round(seconds, 1),
        made=made(),
    )
