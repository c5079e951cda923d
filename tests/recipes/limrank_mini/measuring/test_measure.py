"""The whole measurement of `measure` on small folders, by BM25 and by a scripted reasoner, and its table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evaluation.benchmarks.task import Query, Task
from evaluation.scorers.scorer import Scored
from recipes.limrank_mini.__main__ import main
from recipes.limrank_mini.measuring import rows
from recipes.limrank_mini.measuring.everyday import everyday_task, outcomes
from recipes.limrank_mini.measuring.rows import Row
from recipes.limrank_mini.measuring.steps import Sizes, Steps
from recipes.limrank_mini.measuring.table import Table
from tests.evaluation import small_data


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """general/ and medquad/, each with its splits and candidates; no dl19/."""
    small_data.medquad_folder(tmp_path / "data" / "general", ("dev", "unseen", "train"))
    medquad = small_data.medquad_folder(tmp_path / "data" / "medquad")
    bm25 = (medquad / "candidates_bm25_test.trec").read_text(encoding="utf-8")
    (medquad / "candidates_minilm_test.trec").write_text(bm25, encoding="utf-8")
    return tmp_path / "data"


class Reasoner:
    """Finds the passage that shares the most words, and quotes its first sentence; every fourth quotation is wrong,
    every fifth conclusion disagrees with the score."""

    name = "reasoner"
    concurrency = 1

    def __init__(self) -> None:
        self.passages = 0

    def identity(self) -> Mapping[str, Any]:
        return {"kind": "service", "mode": "reasoning", "engine": "scripted"}

    def prepare(self, task: Task) -> None:
        """Nothing to do."""

    def score(self, query: Query, passages: Sequence[tuple[str, str]]) -> list[Scored]:
        return [self._one(query, text) for _, text in passages]

    def close(self) -> None:
        """Nothing to free."""

    def _one(self, query: Query, text: str) -> Scored:
        self.passages += 1
        shared = set(query.text.casefold().split()) & set(text.casefold().split())
        score = len(shared) - 2.5
        quoted = "made up" if self.passages % 4 == 0 else text.split(". ", maxsplit=1)[0]
        relevant = (score > 0) != (self.passages % 5 == 0)
        said = "is relevant" if relevant else "is not relevant"
        return Scored(score, f'The query asks: {query.text} It says: "{quoted}". So it {said}.', "complete")


def test_every_step_fills_its_row_and_a_missing_set_is_reported(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["measure", "--bm25", "--data", str(data), "--out", str(out), "--queries", "5", "--injections", "3"]
    assert main(words) == 0
    said = capsys.readouterr().out
    (column,) = json.loads((out / "measure.json").read_text(encoding="utf-8"))["columns"].values()
    assert column["column"] == "bi-encoder"  # its scores are no probabilities: no calibration
    expected = {rows.EVERYDAY, rows.INJECTED, rows.INJECTED_GENERAL, rows.UNSEEN, rows.GENERAL_DEV, rows.MEDQUAD}
    assert set(column["rows"]) == expected
    assert "measure/dl19: not run" in said
    table = next((out / "everyday").rglob("outcomes.md")).read_text(encoding="utf-8").splitlines()
    assert len(table) == 42
    right = ["| number 1 (" in line for line in table[2:]]
    assert right == sorted(right)  # failures first
    assert sum(right) == round(40 * column["rows"][rows.EVERYDAY]["value"])
    for row in column["rows"].values():
        assert row["low"] - 1e-9 <= row["value"] <= row["high"] + 1e-9, row
    assert column["rows"][rows.MEDQUAD]["count"] == 5
    small_data.beir_folder(data / "dl19")
    assert main([*words, "--only", "dl19"]) == 0
    (column,) = json.loads((out / "measure.json").read_text(encoding="utf-8"))["columns"].values()
    assert set(column["rows"]) == expected | {rows.DL19}  # earlier rows are kept
    assert not (out / "measure-dl19" / "not_run.json").exists()


def test_quotations_and_conclusions_are_counted_on_both_dev_sets(data: Path, tmp_path: Path) -> None:
    scorer = Reasoner()
    sizes = Sizes(queries=None, pairs=20, injections=2)
    steps = Steps(data, data / "general", tmp_path / "out", "reasoning", scorer, sizes, 5).named()
    found = {row.name: row for row in steps["calibration"]()}
    assert set(found) == {rows.ECE_GENERAL, rows.ECE_MEDQUAD, rows.QUOTED, rows.WORDED}
    assert found[rows.QUOTED].count == found[rows.WORDED].count == 40
    assert (found[rows.QUOTED].value, found[rows.WORDED].value) == (0.75, 0.8)
    assert scorer.passages == 40
    again = {row.name: row for row in steps["calibration"]()}
    assert (again, scorer.passages) == (found, 40)  # from the journal


def test_the_questions_are_whole_and_a_tie_is_no_success() -> None:
    task, run = everyday_task()
    assert len(task.queries) == 40
    for query in task.queries:
        texts = [task.documents[name] for name in run[query.id]]
        assert len(set(texts)) == len(texts) == 4, query
    places = [list(run[query.id]).index(f"{query.id}/0") for query in task.queries]
    assert set(places) == {0, 1, 2, 3}  # no order of the candidates favours a scorer
    equal = {query.id: dict.fromkeys(run[query.id], Scored(0.5)) for query in task.queries}
    assert {outcome.right for outcome in outcomes(task, equal)} == {4}


def test_targets_count_on_samples_that_are_large_enough() -> None:
    few = Row(name=rows.GENERAL_DEV, value=0.95, low=0.9, high=1.0, count=50, what="queries")
    many = Row(name=rows.GENERAL_DEV, value=0.925, low=0.9, high=0.94, count=1518, what="queries")
    error = Row(name=rows.ECE_MEDQUAD, value=0.049, low=0.04, high=0.06, count=2000, what="pairs")
    assert (few.met("cross-encoder"), many.met("cross-encoder"), many.met("direct")) == (None, False, True)
    assert (error.met("reasoning"), error.met("bi-encoder")) == (True, None)
    assert (many.bound("cross-encoder"), error.bound("direct")) == (">= 0.93", "<= 0.05")


def test_every_row_with_a_target_says_how_many_it_wants() -> None:
    for name, wanted in rows.TARGETS.items():
        for column in wanted:
            assert rows._least(name, column) > 0


def test_columns_share_a_table_and_another_model_of_the_same_name_begins_anew(tmp_path: Path) -> None:
    row = Row(name=rows.DL19, value=0.61, low=0.5, high=0.7, count=43, what="queries", note="first stage 0.506")
    other = Row(name=rows.UNSEEN, value=0.9, low=0.8, high=0.95, count=370, what="queries")
    for scorer, column, found in (("mini-ce", "cross-encoder", row), ("mini", "direct", other)):
        table = Table(tmp_path)
        table.begin(scorer, column, {"weights": "a"})  # type: ignore[arg-type]
        table.add(scorer, [found])
    text = (tmp_path / "measure.md").read_text(encoding="utf-8")
    assert "| DL19 | 0.610 [0.500, 0.700] on 43 queries (>= 0.66: missed) |  |" in text
    assert "| general unseen |  | 0.900 [0.800, 0.950] on 370 queries (>= 0.87: met) |" in text
    assert "- mini-ce, DL19: first stage 0.506" in text
    table = Table(tmp_path)
    table.begin("mini", "direct", {"weights": "b"})
    table.add("mini", [])
    assert "general unseen" not in (tmp_path / "measure.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("count", "of"), [(0, 20), (20, 20), (38, 40)])
def test_the_interval_of_a_share_contains_it_and_stays_within_bounds(count: int, of: int) -> None:
    found = rows.wilson(count, of)
    assert 0.0 <= found.low <= found.mean == count / of <= found.high <= 1.0
    assert found.low < found.high
