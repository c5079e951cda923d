"""`limrank-eval cascade`: two models one after the other against each of them alone, in the same run."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field
from tqdm import tqdm

from cli.choices import Dtype
from evaluation.adaptive.reaching import Scores, fit_reaching
from evaluation.benchmarks.names import DEFAULT, named
from evaluation.benchmarks.task import Query, Task, sampled
from evaluation.commands.adaptive import measured_manifest
from evaluation.commands.rank import slug
from evaluation.errors import BadData, BadSettings
from evaluation.first_stage import candidates, data_candidates
from evaluation.reports.lines import cascade_lines
from evaluation.results.cascade import CascadeResult, Measured, compared
from evaluation.results.files import made, write_json
from evaluation.scorers.http import HttpScorer, ServiceOptions
from evaluation.scorers.local_service import local_service
from evaluation.scoring import score_all
from evaluation.settings import Command
from retrieval.trec import Run

FIRST, SECOND, BOTH = "first", "second", "cascade"
_DOCUMENTS_PER_CALL = 100


class CascadeSettings(Command):
    """Rank queries by two models alone and by both in a cascade; compare order, tokens and time."""

    first: str = Field(description="folder, embedded model or hub id of the first stage")
    model: str = Field(description="folder, embedded model or hub id of the served model")
    data: Path = Field(description="folder of the benchmark")
    out: Path = Field(description="folder for results")
    benchmark: str = Field(default=DEFAULT, description="benchmark whose folder it is")
    split: str = Field(default="test", description="split that is measured")
    queries: int | None = Field(default=None, ge=1, description="so many queries of it; default: all")
    depth: int = Field(default=100, ge=2, description="candidates of each query")
    first_stage: str | None = Field(
        default=None, description="candidates: a name among the data, a run file, search:bm25; default: as in run"
    )
    keep: int | None = Field(default=None, ge=1, description="documents that are kept; default: the service's")
    mode: Literal["direct", "reasoning", "adaptive"] = Field(default="direct", description="mode of the served model")
    dtype: Dtype = Field(default="auto", description="number format of the weights")
    threads: int | None = Field(default=None, ge=1, description="CPU threads of each model")
    timeout_seconds: float = Field(default=600.0, gt=0, description="longest time for one call")
    write: Path | None = Field(
        default=None,
        description="first fit how many documents can still reach the top, and write it into the reranker.json of this "
        "folder, which is the served model's",
    )
    fit_split: str = Field(default="dev", description="split that --write fits on; never the same")
    fit_queries: int | None = Field(default=None, ge=1, description="so many queries of it; default: all")


def run(settings: CascadeSettings) -> str:
    """Run the command and return the table."""
    fitted_on = "" if settings.write is None else _fit(settings, settings.write)
    task = named(settings.benchmark).open(settings.split, settings.data, data_candidates(settings.first_stage))
    asked = sampled(task.queries, settings.queries)
    found, stage = candidates(task, asked, settings.first_stage, settings.depth)
    ranked = [query for query in asked if found[query.id]]
    if not ranked:
        raise BadData(f"{task.name}: none of {len(asked)} queries has a candidate.")
    measured = {way: Measured() for way in (FIRST, SECOND, BOTH)}
    settings.out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        modes = {FIRST: "direct", SECOND: settings.mode, BOTH: settings.mode}
        services = {way: stack.enter_context(_served(settings, way, mode)) for way, mode in modes.items()}
        for query in tqdm(ranked, desc=task.name, unit="query", file=sys.stderr, mininterval=30):
            documents = list(found[query.id])
            texts = [task.documents[document] for document in documents]
            for way, service in services.items():
                ranking = service.rank(query, texts)
                measured[way].add(query.id, [documents[index] for index in ranking.order], ranking)
    qrels = {query.id: task.qrels.get(query.id, {}) for query in ranked}
    result = CascadeResult(
        task=task.name,
        first=settings.first,
        second=settings.model,
        mode=settings.mode,
        protocol=f"{stage} top {settings.depth}",
        queries=len(ranked),
        keep=settings.keep,
        fitted_on=fitted_on,
        rows=compared(qrels, measured, FIRST, SECOND),
        made=made(),
    )
    folder = settings.out / f"cascade-{slug(task.name)}"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "cascade.json", result.to_json())
    return cascade_lines(result)


def _fit(settings: CascadeSettings, folder: Path) -> str:
    """Fit and write what says how many documents are kept, and return the name of the task it was fitted on."""
    if settings.split == settings.fit_split:
        raise BadSettings(
            f"--split and --fit-split are both '{settings.split}': what is fitted is measured on other queries; name "
            "two splits."
        )
    task = named(settings.benchmark).open(settings.fit_split, settings.data, data_candidates(settings.first_stage))
    asked = sampled(task.queries, settings.fit_queries)
    found, stage = candidates(task, asked, settings.first_stage, settings.depth)
    settings.out.mkdir(parents=True, exist_ok=True)
    place = settings.out / slug(task.name) / f"{slug(stage)}-{settings.depth}"
    with _served(settings, SECOND, "direct") as second:
        manifest = measured_manifest(folder, second.identity())
        of_second = _scores(task, asked, found, second, place)
    with _served(settings, FIRST, "direct") as first:
        of_first, identity = _scores(task, asked, found, first, place), first.identity()
    reaching = fit_reaching(of_first, of_second)
    name, fingerprint = str(identity["model"]), str(identity["fingerprint"])
    replace(manifest, first_stage=reaching.to_json(manifest.fingerprint, name, fingerprint)).write(folder)
    return task.name


def _scores(task: Task, queries: list[Query], found: Run, scorer: HttpScorer, place: Path) -> Scores:
    """Those in the journal of an earlier run are not asked for again."""
    folder = place / slug(scorer.name)
    return score_all(task, queries, found, scorer, folder, documents_per_call=_DOCUMENTS_PER_CALL, out=sys.stderr)[0]


def _served(settings: CascadeSettings, way: str, mode: str) -> contextlib.AbstractContextManager[HttpScorer]:
    options = ServiceOptions(mode=mode, concurrency=1, timeout_seconds=settings.timeout_seconds)
    flags = ["--first-stage", settings.first] if way == BOTH else []
    if way == BOTH and settings.keep is not None:
        flags += ["--first-stage-keep", str(settings.keep)]
    return local_service(
        settings.first if way == FIRST else settings.model,
        options,
        settings.out / f"{way}.log",
        dtype=settings.dtype,
        threads=settings.threads,
        flags=flags,
    )
