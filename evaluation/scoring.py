"""Scores all candidates of a task, several calls at a time, and journals the scores of each call as they arrive."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from evaluation.benchmarks.task import Query, Task
from evaluation.journal import ScoreJournal
from evaluation.scorers.scorer import Scored, Scorer
from retrieval.trec import Run

SLOW_LINES = 30.0  # seconds between progress lines when the output is not a terminal

Portion = tuple[Query, list[str]]


def score_all(
    task: Task,
    queries: Sequence[Query],
    candidates: Run,
    scorer: Scorer,
    folder: Path,
    *,
    documents_per_call: int,
    out: TextIO,
) -> tuple[dict[str, dict[str, Scored]], float]:
    """query -> document -> score for all candidates, and the seconds spent over all runs.

    Scores in `folder/scores.jsonl` are not requested again. Raises `ScorerFailed` and other errors of the scorer;
    scores up to then are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    belongs_to = {"task": task.name, "texts": task.fingerprint(), **scorer.identity()}
    with ScoreJournal(folder / "scores.jsonl", belongs_to) as journal:
        left = _portions(queries, candidates, journal, documents_per_call)
        if left:
            scorer.prepare(task)
            _work(task, left, scorer, journal, _bar(task, scorer, candidates, left, out))
        return {
            query.id: {document: journal.scores[query.id, document] for document in candidates[query.id]}
            for query in queries
        }, journal.wall


def ranking(scored: dict[str, dict[str, Scored]]) -> dict[str, list[str]]:
    """Documents of each query, best first; equal scores keep the order of the first stage, as in the service."""
    return {
        query: [
            document for document, _ in sorted(found.items(), key=lambda pair: -pair[1].score)
        ]  # sorted() is stable
        for query, found in scored.items()
    }


def _portions(queries: Sequence[Query], candidates: Run, journal: ScoreJournal, size: int) -> deque[Portion]:
    portions: deque[Portion] = deque()
    for query in queries:
        missing = [document for document in candidates[query.id] if (query.id, document) not in journal.scores]
        portions.extend((query, missing[start : start + size]) for start in range(0, len(missing), size))
    return portions


def _work(task: Task, left: deque[Portion], scorer: Scorer, journal: ScoreJournal, bar: tqdm) -> None:
    """Keeps `concurrency` calls in flight, and journals results in the order of arrival."""
    pool = ThreadPoolExecutor(scorer.concurrency)
    running: dict[Future[list[Scored]], Portion] = {}
    try:
        while left or running:
            while left and len(running) < scorer.concurrency:
                query, documents = left.popleft()
                texts = [(document, task.documents[document]) for document in documents]
                running[pool.submit(scorer.score, query, texts)] = (query, documents)
            for done in _finished(running):
                query, documents = running.pop(done)
                journal.add(query.id, documents, done.result())
                bar.update(len(documents))
    finally:
        bar.close()
        pool.shutdown(wait=False, cancel_futures=True)


def _finished(running: dict[Future[list[Scored]], Portion]) -> Iterator[Future[list[Scored]]]:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    yield from done


def _bar(task: Task, scorer: Scorer, candidates: Run, left: deque[Portion], out: TextIO) -> tqdm:
    total = sum(len(found) for found in candidates.values())
    missing = sum(len(documents) for _, documents in left)
    interval = 0.2 if out.isatty() else SLOW_LINES
    return tqdm(
        total=total,
        initial=total - missing,
        desc=f"{task.name}, {scorer.name}",
        unit="pair",
        file=out,
        mininterval=interval,
        dynamic_ncols=out.isatty(),
    )
