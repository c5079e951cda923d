"""The candidates that are reranked: those that come with the data, a run file, or a search made here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evaluation.benchmarks.task import Query, Task
from evaluation.errors import BadData, BadSettings
from retrieval.trec import Run, read_run

SEARCH = "search:"


def data_candidates(first_stage: str | None) -> str | None:
    """The name by which a loader finds candidates among the data; None where they come from elsewhere. Raise
    BadSettings for a file that is not there."""
    if first_stage is None or first_stage.startswith(SEARCH) or Path(first_stage).is_file():
        return None
    if len(Path(first_stage).parts) > 1 or first_stage.endswith(".trec"):
        raise BadSettings(f"The run file {first_stage} does not exist; correct --first-stage.")
    return first_stage


def candidates(task: Task, queries: Sequence[Query], first_stage: str | None, depth: int) -> tuple[Run, str]:
    """The first `depth` candidates of each query without its excluded documents, and what the first stage is called.

    `first_stage`: None (the data's own, else BM25 made here), `search:bm25`, `search:MODEL` (a bi-encoder), a TREC run
    file, or a name that the task's loader has already followed. A query without candidates is an error.
    """
    run, name = _run(task, queries, first_stage, depth)
    cut: Run = {}
    for query in queries:
        allowed = [pair for pair in run.get(query.id, {}).items() if pair[0] not in query.excluded]
        cut[query.id] = dict(allowed[:depth])
        if unknown := next((document for document in cut[query.id] if document not in task.documents), None):
            raise BadData(f"{task.name}: the first stage names document '{unknown}', which the corpus does not have.")
    return cut, name


def _run(task: Task, queries: Sequence[Query], first_stage: str | None, depth: int) -> tuple[Run, str]:
    if first_stage is not None and not first_stage.startswith(SEARCH):
        path = Path(first_stage)
        if path.is_file():
            return read_run(path), path.stem
        if task.candidates is None:
            raise BadSettings(f"'{first_stage}' is no run file, and {task.name} has no candidates of that name.")
        return task.candidates, first_stage
    if first_stage is None and task.candidates is not None:
        return task.candidates, task.candidates_name
    searched = (first_stage or f"{SEARCH}bm25").removeprefix(SEARCH)
    if searched == "bm25":
        return _bm25(task, queries, depth), f"{SEARCH}bm25{_with(task)}"
    from evaluation.scorers.encoders import BiEncoder, short_name  # here: they import torch

    return BiEncoder(searched).search(task, queries, depth), f"{SEARCH}{short_name(searched)}{_with(task)}"


def _with(task: Task) -> str:
    return f" with {task.searches}" if task.searches else ""


def _bm25(task: Task, queries: Sequence[Query], depth: int) -> Run:
    from evaluation.scorers.bm25 import Bm25

    index = Bm25()
    index.prepare(task)
    return index.search(queries, depth)
