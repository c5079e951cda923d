"""`limrank-eval cascade`: two models one after the other against each of them alone, in the same run."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Literal

from pydantic import Field
from tqdm import tqdm

from cli.choices import Dtype
from evaluation.benchmarks.names import DEFAULT, named
from evaluation.benchmarks.task import sampled
from evaluation.commands.rank import slug
from evaluation.errors import BadData
from evaluation.first_stage import candidates, data_candidates
from evaluation.reports.lines import cascade_lines
from evaluation.results.cascade import CascadeResult, Measured, compared
from evaluation.results.files import made, write_json
from evaluation.scorers.http import HttpScorer, ServiceOptions
from evaluation.scorers.local_service import local_service
from evaluation.settings import Command

FIRST, SECOND, BOTH = "first", "second", "cascade"


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


def run(settings: CascadeSettings) -> str:
    """Run the command and return the table."""
    task = named(settings.benchmark).open(settings.split, settings.data, data_candidates(settings.first_stage))
    asked = sampled(task.queries, settings.queries)
    found, stage = candidates(task, asked, settings.first_stage, settings.depth)
    ranked = [query for query in asked if found[query.id]]
    if not ranked:
        raise BadData(f"{task.name}: none of {len(asked)} queries has a candidate.")
    measured = {way: Measured() for way in (FIRST, SECOND, BOTH)}
    settings.out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        services = {way: stack.enter_context(_served(settings, way)) for way in measured}
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
        rows=compared(qrels, measured, FIRST, SECOND),
        made=made(),
    )
    folder = settings.out / f"cascade-{slug(task.name)}"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "cascade.json", result.to_json())
    return cascade_lines(result)


def _served(settings: CascadeSettings, way: str) -> contextlib.AbstractContextManager[HttpScorer]:
    mode = "direct" if way == FIRST else settings.mode
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
