"""`limrank-eval run`: reranks the candidates of a benchmark and measures the ranking."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from evaluation.benchmarks.names import BENCHMARKS, Benchmark, named
from evaluation.benchmarks.task import Query, Task, sampled
from evaluation.errors import BadData, BadSettings, NotAvailable
from evaluation.first_stage import candidates, data_candidates
from evaluation.reports.lines import result_line
from evaluation.results.assess import assess
from evaluation.results.files import made, write_json
from evaluation.results.ranking import NotRun, RankingResult, write_result
from evaluation.scorers.open import open_scorer
from evaluation.scorers.scorer import Scorer
from evaluation.scoring import ranking, score_all
from evaluation.settings import Scoring
from retrieval.trec import Run


class RankSettings(Scoring):
    """Rerank a benchmark's candidates and measure the order."""

    benchmark: CliPositionalArg[str] = Field(description=f"{', '.join(BENCHMARKS)}, beir:NAME")
    out: Path = Field(description="folder for results; the same folder resumes a stopped run")
    data: Path | None = Field(default=None, description="folder with the data in the hub's layout; default: the hub")
    tasks: list[str] = Field(default=[], description="tasks of the benchmark, by commas; default: all (beir: test)")
    queries: int | None = Field(
        default=None, ge=1, description="number of queries (followir: topics), drawn by their ids"
    )
    depth: int | None = Field(
        default=None, ge=1, description="candidates per query; default: 100, followir: 1,000, all that it has"
    )
    first_stage: str | None = Field(
        default=None,
        description="candidates: a name among the data, a run file, search:bm25 or search:MODEL (a bi-encoder); "
        "default: those with the data, else search:bm25",
    )
    search_queries: str | None = Field(
        default=None, description="bright: the configuration whose queries the first stage searches with (gpt4_reason)"
    )


def run(settings: RankSettings) -> str:
    """Runs the command and returns one line per task."""
    benchmark = named(settings.benchmark)
    if settings.search_queries is not None and not benchmark.searches:
        raise BadSettings(f"{benchmark.name} has no other queries to search with; --search-queries is for bright.")
    stage = _stage(settings)  # fails early for a file that does not exist
    variant = settings.search_queries if benchmark.searches else stage
    tasks = settings.tasks or (benchmark.tasks if len(set(benchmark.tasks) & {"test"}) == 0 else ["test"])
    lines = []
    with contextlib.ExitStack() as stack:
        scorer: Scorer | None = None
        for name, task in open_tasks(benchmark, tasks, settings.data, variant):
            if isinstance(task, NotAvailable):
                lines.append(not_run(settings.out, benchmark.name, f"{benchmark.name}/{name}", str(task)))
                continue
            forget_not_run(settings.out, f"{benchmark.name}/{name}")
            if scorer is None:
                scorer = stack.enter_context(open_scorer(settings, settings.out, lists=True))
            result = rank_task(
                task,
                scorer,
                benchmark=benchmark.name,
                out=settings.out,
                queries=settings.queries,
                depth=settings.depth or benchmark.depth,
                first_stage=_first_stage(settings),
                documents_per_call=_per_call(settings),
            )
            lines.append(result_line(result))
    return "\n".join(lines)


def open_tasks(
    benchmark: Benchmark, tasks: Sequence[str], data: Path | None, variant: str | None
) -> Iterator[tuple[str, Task | NotAvailable]]:
    """Each task, or the reason why its data is not available."""
    for name in tasks:
        try:
            yield name, benchmark.open(name, data, variant)
        except NotAvailable as error:
            yield name, error


def rank_task(
    task: Task,
    scorer: Scorer,
    *,
    benchmark: str,
    out: Path,
    queries: int | None,
    depth: int,
    first_stage: str | None,
    documents_per_call: int,
) -> RankingResult:
    """Scores one task and writes its results under `out`."""
    asked = sampled(task.queries, queries)
    found, stage = candidates(task, asked, first_stage, depth)
    _check(task, asked, found)
    folder = out / slug(task.name) / f"{slug(stage)}-{depth}" / slug(scorer.name)
    scored, seconds = score_all(
        task, asked, found, scorer, folder, documents_per_call=documents_per_call, out=sys.stderr
    )
    figures, values = assess(task, asked, found, scored)
    result = RankingResult(
        benchmark=benchmark,
        task=task.name,
        scorer=scorer.name,
        identity=dict(scorer.identity()),
        protocol=replace(task.protocol, first_stage=stage, depth=depth),
        figures=figures,
        seconds=round(seconds, 1),
        made=made(),
    )
    order = ranking(scored)
    scores = {query: {document: scored[query][document].score for document in order[query]} for query in order}
    write_result(folder, result, scores, values)
    return result


def not_run(out: Path, benchmark: str, task: str, reason: str) -> str:
    """Records that a task could not be run, and returns a line that says so."""
    folder = out / slug(task)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "not_run.json", NotRun(benchmark, task, reason, made()).to_json())
    return f"{task}: not run: {reason}"


def forget_not_run(out: Path, task: str) -> None:
    """Removes the record that a task could not be run."""
    (out / slug(task) / "not_run.json").unlink(missing_ok=True)


def slug(name: str) -> str:
    """A name converted to a folder name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "unnamed"


def _per_call(settings: RankSettings) -> int:
    """A list model orders all candidates of a query together: its scores are places."""
    return settings.documents_per_call if settings.list_model is None else sys.maxsize


def _first_stage(settings: RankSettings) -> str | None:
    """A run file ranks its own candidates unless another first stage is named."""
    if settings.first_stage is None and settings.run_file is not None:
        return str(settings.run_file)
    return settings.first_stage


def _stage(settings: RankSettings) -> str | None:
    return data_candidates(_first_stage(settings))


def _check(task: Task, asked: Sequence[Query], found: Run) -> None:
    if not any(found[query.id] for query in asked):
        raise BadData(
            f"{task.name}: none of {len(asked)} queries has a candidate; are first stage and queries of the same data "
            "set?"
        )
