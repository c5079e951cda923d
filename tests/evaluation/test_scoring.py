"""Scoring in portions: what is kept, what is not asked again, and what is refused."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from evaluation.benchmarks.names import named
from evaluation.benchmarks.task import Query, Task
from evaluation.errors import BadData, BadSettings, ScorerFailed
from evaluation.scorers.scorer import Scored
from evaluation.scoring import ranking, score_all
from tests.evaluation import small_data
from tests.waiting import PATIENCE


@dataclass
class WordCount:
    """A real scorer of shared words that counts its calls, and stops working after `calls_left`."""

    name: str = "words"
    concurrency: int = 2
    version: int = 1
    calls_left: int = 1000
    seconds: float = 0.0
    asked: list[tuple[str, str]] = field(default_factory=list)
    prepared: int = 0
    running: int = 0
    most_running: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    meeting: threading.Barrier | None = None  # at which calls wait for each other

    def identity(self) -> Mapping[str, Any]:
        return {"kind": "words", "version": self.version}

    def prepare(self, task: Task) -> None:
        self.prepared += 1

    def score(self, query: Query, passages: Sequence[tuple[str, str]]) -> list[Scored]:
        with self.lock:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            self.calls_left -= 1
            if self.calls_left < 0:
                raise ScorerFailed("The scorer stopped answering.")
            self.asked += [(query.id, document) for document, _ in passages]
        if self.meeting is not None:
            self.meeting.wait(PATIENCE)
        time.sleep(self.seconds)
        with self.lock:
            self.running -= 1
        words = set(query.text.split())
        return [Scored(float(len(words & set(text.lower().split()))), "so it is", "complete") for _, text in passages]

    def close(self) -> None:
        """Nothing to free."""


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return named("beir").open("test", small_data.beir_folder(tmp_path / "own"), None)


def run(task: Task, scorer: WordCount, folder: Path, *, size: int = 2) -> dict[str, dict[str, Scored]]:
    assert task.candidates is not None
    found, _ = score_all(task, task.queries, task.candidates, scorer, folder, documents_per_call=size, out=StringIO())
    return found


def test_a_stopped_run_goes_on_and_asks_nothing_twice(task: Task, tmp_path: Path) -> None:
    whole = run(task, WordCount(), tmp_path / "whole")
    with pytest.raises(ScorerFailed):
        run(task, WordCount(calls_left=3, concurrency=1), tmp_path / "parts")
    second = WordCount()
    assert run(task, second, tmp_path / "parts") == whole
    assert len(second.asked) == 12 - 3 * 2
    third = WordCount()
    assert run(task, third, tmp_path / "parts") == whole
    assert (third.asked, third.prepared) == ([], 0)


def test_a_torn_line_is_asked_again(task: Task, tmp_path: Path) -> None:
    whole = run(task, WordCount(), tmp_path)
    path = tmp_path / "scores.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    again = WordCount()
    assert run(task, again, tmp_path) == whole
    assert len(again.asked) == 2
    assert len(path.read_text().splitlines()) == 1 + 6


def test_scores_of_another_scorer_or_other_texts_are_refused(task: Task, tmp_path: Path) -> None:
    run(task, WordCount(), tmp_path)
    with pytest.raises(BadSettings, match=r"made otherwise \(version: 1 there, 2 now\)"):
        run(task, WordCount(version=2), tmp_path)
    changed = Task(
        name=task.name,
        queries=task.queries,
        documents={**task.documents, "tea-1": "Another text."},
        qrels=task.qrels,
        protocol=task.protocol,
        candidates=task.candidates,
    )
    with pytest.raises(BadSettings, match="texts:"):
        run(changed, WordCount(), tmp_path)


def test_a_line_that_is_no_score_is_named(task: Task, tmp_path: Path) -> None:
    run(task, WordCount(), tmp_path)
    path = tmp_path / "scores.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], '{"query": "q1"}', *lines[2:]]) + "\n")
    with pytest.raises(BadData, match=r"scores\.jsonl, line 3"):
        run(task, WordCount(), tmp_path)


def test_calls_run_side_by_side_but_never_more_than_allowed(task: Task, tmp_path: Path) -> None:
    scorer = WordCount(concurrency=3, meeting=threading.Barrier(3))  # twelve calls
    run(task, scorer, tmp_path, size=1)
    assert scorer.most_running == 3


def test_traces_are_kept_and_time_adds_up_over_sittings(task: Task, tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(ScorerFailed):
        run(task, WordCount(calls_left=2, concurrency=1, seconds=0.05), tmp_path)
    assert task.candidates is not None
    scored, seconds = score_all(
        task, task.queries, task.candidates, WordCount(), tmp_path, documents_per_call=2, out=StringIO()
    )
    assert scored["q1"]["bread-1"] == Scored(3.0, "so it is", "complete")
    assert 0.1 <= seconds < time.monotonic() - begun + 0.01, "but for the rounding"
    rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert rows[0]["belongs_to"]["kind"] == "words"
    assert seconds == pytest.approx(sum(row["wall"] for row in rows[1:]))


def test_equal_scores_keep_the_order_of_the_first_stage() -> None:
    found = {"q": {"b": Scored(1.0), "a": Scored(1.0), "c": Scored(2.0)}}
    assert ranking(found) == {"q": ["c", "b", "a"]}
