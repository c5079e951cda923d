"""Forty everyday questions, searches and requests of our own writing, each with one right and three wrong passages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.benchmarks.task import Protocol, Query, Task
from evaluation.scorers.scorer import Scored
from retrieval.trec import Run
from synth.run.draws import draw

FILE = Path(__file__).parent / "everyday.jsonl"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A question, its passages best first (`right` is the place of the right one, from 1), and their scores."""

    query: str
    right: int
    passages: tuple[str, ...]
    scores: tuple[float, ...]


def everyday_task(path: Path = FILE) -> tuple[Task, Run]:
    """The questions as a task, and their passages as candidates. The right passage is `<id>/0`; its place among the
    candidates varies."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    documents = {f"{row['id']}/{number}": text for row in rows for number, text in enumerate(row["passages"])}
    run: Run = {}
    for row in rows:
        names = [f"{row['id']}/{number}" for number in range(len(row["passages"]))]
        names.sort(key=lambda name: draw(name, "everyday"))
        run[row["id"]] = {name: -float(rank) for rank, name in enumerate(names)}
    task = Task(
        name="everyday",
        queries=tuple(Query(id=row["id"], text=row["query"]) for row in rows),
        documents=documents,
        qrels={row["id"]: {f"{row['id']}/0": 1} for row in rows},
        protocol=Protocol(
            source="everyday.jsonl of this recipe",
            licence="Apache-2.0",
            split="test",
            query="the query as given, no instruction",
            passage="one to three sentences",
        ),
    )
    return task, run


def outcomes(task: Task, scored: Mapping[str, Mapping[str, Scored]]) -> list[Outcome]:
    """One outcome per question, in the order of the file. A wrong passage with the right one's score ranks before
    it."""
    found = []
    for query in task.queries:
        scores = {name: one.score for name, one in scored[query.id].items()}
        right = f"{query.id}/0"
        order = sorted(scores, key=lambda name: (-scores[name], name == right))
        found.append(
            Outcome(
                query.text,
                1 + order.index(right),
                tuple(task.documents[name] for name in order),
                tuple(round(scores[name], 4) for name in order),
            )
        )
    return found


def as_markdown(found: Sequence[Outcome]) -> str:
    """All outcomes as a table, the failures first: the question, the first passage, and the right one's place."""
    lines = ["| question | ranked first | the right passage is |", "|---|---|---|"]
    for outcome in sorted(found, key=lambda outcome: outcome.right == 1):
        first, score = outcome.passages[0], outcome.scores[0]
        lines.append(
            f"| {outcome.query} | {first} ({score:+.2f}) | number {outcome.right} ({_right_score(outcome):+.2f}) |"
        )
    return "\n".join(lines) + "\n"


def _right_score(outcome: Outcome) -> float:
    return outcome.scores[outcome.right - 1]
