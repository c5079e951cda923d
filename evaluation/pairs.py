"""Labelled pairs for calibration: each query with one answer and the passages BM25 takes for answers."""

from __future__ import annotations

from collections.abc import Callable

from evaluation.benchmarks.task import Query, Task, sampled
from evaluation.errors import BadData
from evaluation.first_stage import candidates
from retrieval.trec import Run

NEGATIVES = 4
DEPTH = 100


def labelled_pairs(task: Task, pairs: int, *, negatives: int = NEGATIVES) -> tuple[list[Query], Run]:
    """Queries and, for each, its first judged answer and the first BM25 candidates that no reading counts as relevant.

    Queries are drawn by the hash of their ids until there are `pairs` pairs (whole queries, so rounded down); those
    without an answer or with too few candidates are passed over. Raise BadData where that is all of them.
    """
    search = _search(task)
    drawn: list[Query] = []
    found: Run = {}
    for query in sampled(task.queries, None):
        if len(drawn) == pairs // (1 + negatives):
            break
        answers = [one for one, grade in task.qrels.get(query.id, {}).items() if grade > 0 and one in task.documents]
        hard = [one for one in search(query) if not _relevant(task, query, one)][:negatives] if answers else []
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
    """In words, for a result."""
    stage = "BM25" if task.candidates is None or task.candidates_name == "bm25" else task.candidates_name
    return f"one judged answer to the {NEGATIVES} first {stage} candidates that no reading counts as relevant"


def _search(task: Task) -> Callable[[Query], list[str]]:
    """The BM25 candidates of a query: those with the data, else searched here."""
    if task.candidates is not None:
        return lambda query: list(candidates(task, [query], None, DEPTH)[0][query.id])
    from evaluation.scorers.bm25 import Bm25

    index = Bm25()
    index.prepare(task)
    return lambda query: list(index.search([query], DEPTH)[query.id])


def _relevant(task: Task, query: Query, document: str) -> bool:
    readings = (task.qrels, *task.readings.values())
    return any(reading.get(query.id, {}).get(document, 0) > 0 for reading in readings)
