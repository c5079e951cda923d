"""The candidates to rerank: from the data, from a run file, or from a search made here.

Calibration takes labelled pairs from them: each query with one answer and its first candidates that are not answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from evaluation.benchmarks.task import Query, Task, sampled
from evaluation.errors import BadData, BadSettings
from retrieval.trec import Run, read_run

SEARCH = "search:"
NEGATIVES = 4  # per answer in labelled pairs
DEPTH = 100  # candidates among which negatives are searched


def data_candidates(first_stage: str | None) -> str | None:
    """The name by which a loader finds candidates in the data; None when they come from elsewhere. Raises BadSettings
    for a file that does not exist."""
    if first_stage is None or first_stage.startswith(SEARCH) or Path(first_stage).is_file():
        return None
    if len(Path(first_stage).parts) > 1 or first_stage.endswith(".trec"):
        raise BadSettings(f"The run file {first_stage} does not exist; correct --first-stage.")
    return first_stage


def candidates(task: Task, queries: Sequence[Query], first_stage: str | None, depth: int) -> tuple[Run, str]:
    """The first `depth` candidates of each query without its excluded documents, and the name of the first stage.

    `first_stage` is None (the data's own, otherwise BM25), `search:bm25`, `search:MODEL` (a bi-encoder), a TREC run
    file, or a name that the task's loader has resolved. A query without candidates has an empty entry.
    """
    run, name = _run(task, queries, first_stage, depth)
    cut: Run = {}
    for query in queries:
        allowed = [pair for pair in run.get(query.id, {}).items() if pair[0] not in query.excluded]
        cut[query.id] = dict(allowed[:depth])
        if unknown := next((document for document in cut[query.id] if document not in task.documents), None):
            raise BadData(f"{task.name}: the first stage names document '{unknown}', which the corpus does not have.")
    return cut, name


def labelled_pairs(task: Task, pairs: int, *, negatives: int = NEGATIVES) -> tuple[list[Query], Run]:
    """Queries with labelled pairs: the first judged answer of each, and the first BM25 candidates that no judgements
    count as relevant.

    Draws queries by the hash of their ids until there are `pairs` pairs (whole queries, so rounded down); skips queries
    without an answer or with too few candidates. Raises BadData when all are skipped.
    """
    search = _search(task)
    drawn: list[Query] = []
    found: Run = {}
    for query in sampled(task.queries, None):
        if len(drawn) == pairs // (1 + negatives):
            break
        judged = task.qrels.get(query.id, {})
        answers = [document for document, grade in judged.items() if grade > 0 and document in task.documents]
        found_first = search(query) if answers else []
        hard = [document for document in found_first if not _relevant(task, query, document)][:negatives]
        if len(hard) == negatives:
            found[query.id] = {document: -float(rank) for rank, document in enumerate([answers[0], *hard])}
            drawn.append(query)
    if not drawn:
        raise BadData(
            f"{task.name}: no query has an answer and {negatives} candidates that are none; are its candidates of "
            "another split?"
        )
    return drawn, found


def pairs_protocol(task: Task) -> str:
    """A description of how labelled pairs are chosen, for results."""
    stage = "BM25" if task.candidates is None or task.candidates_name == "bm25" else task.candidates_name
    return f"one judged answer to the {NEGATIVES} first {stage} candidates that no reading counts as relevant"


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
    from evaluation.scorers.encoders import BiEncoder, short_name  # imported here: they import torch

    return BiEncoder(searched).search(task, queries, depth), f"{SEARCH}{short_name(searched)}{_with(task)}"


def _with(task: Task) -> str:
    return f" with {task.searches}" if task.searches else ""


def _bm25(task: Task, queries: Sequence[Query], depth: int) -> Run:
    from evaluation.scorers.bm25 import Bm25

    index = Bm25()
    index.prepare(task)
    return index.search(queries, depth)


def _search(task: Task) -> Callable[[Query], list[str]]:
    """A function that returns a query's BM25 candidates: those in the data, otherwise from a search."""
    if task.candidates is not None:
        return lambda query: list(candidates(task, [query], None, DEPTH)[0][query.id])
    from evaluation.scorers.bm25 import Bm25

    index = Bm25()
    index.prepare(task)
    return lambda query: list(index.search([query], DEPTH)[query.id])


def _relevant(task: Task, query: Query, document: str) -> bool:
    readings = (task.qrels, *task.readings.values())
    return any(reading.get(query.id, {}).get(document, 0) > 0 for reading in readings)
