"""Local copies of benchmarks: values as they are written, rows that cannot be used named by file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.benchmarks import gpqa
from evaluation.benchmarks.data_source import DataSource
from evaluation.benchmarks.names import named
from evaluation.benchmarks.rows import DataRow
from evaluation.errors import BadData
from tests.evaluation import small_data

DATES = ("2024-01-02", "2024-01-03T04:05:06", "2024-02-30")
CHOICES = ("NA", "null", "N/A", "None", "nan", "", "True", "007", "1e5", "2024-01-02", "-", "#N/A")


def bright(folder: Path, ids: tuple[str, ...] = DATES, ending: str = "jsonl") -> Path:
    rows = [{"id": name, "content": name} for name in ids]
    small_data.jsonl(folder / "documents" / f"biology.{ending}", rows)
    example = {"query": "when", "id": "q", "excluded_ids": [ids[1]], "gold_ids": [ids[0]]}
    small_data.jsonl(folder / "examples" / f"biology.{ending}", [example])
    return folder


@pytest.mark.parametrize("ending", ["jsonl", "json"])
@pytest.mark.parametrize("ids", [DATES, ("1", "2", "3"), ("1.0", "2.50", "1e3"), ("true", "null", "NaN")])
def test_ids_and_texts_that_look_like_something_else_stay_texts(
    tmp_path: Path, ids: tuple[str, ...], ending: str
) -> None:
    task = named("bright").open("biology", bright(tmp_path, ids, ending), None)
    assert task.documents == {name: name for name in ids}
    assert task.qrels == {"q": {ids[0]: 1}}
    assert task.queries[0].excluded == {ids[1]}


def gpqa_file(folder: Path, choices: tuple[str, ...], ending: str = "csv", encoding: str = "utf-8") -> DataSource:
    columns = ["Record ID", *gpqa.COLUMNS[:5]]
    between = "\t" if ending == "tsv" else ","
    folder.mkdir(parents=True, exist_ok=True)
    lines = [between.join(columns), between.join(["2024-01-02", "which?", *choices])]
    (folder / f"gpqa_diamond.{ending}").write_text("\n".join(lines) + "\n", encoding=encoding)
    return DataSource("gpqa", folder)


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@pytest.mark.parametrize("choice", [choice for choice in CHOICES if choice])
def test_a_choice_that_looks_like_nothing_is_a_choice(tmp_path: Path, choice: str, ending: str) -> None:
    source = gpqa_file(tmp_path, (choice, "a", "b", "c"), ending)
    (question,) = gpqa.load(source, "gpqa_diamond")
    assert question.choices[gpqa.LETTERS.index(question.answer)] == choice
    assert question.id == "2024-01-02"


def test_an_empty_choice_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"gpqa_diamond\.csv, line 2: 'Incorrect Answer 1' is ''; it must be a text"):
        gpqa.load(gpqa_file(tmp_path, ("a", "", "b", "c")), "gpqa_diamond")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"id,content\na,one\nb\n", r"line 3: 1 fields; the first line names 2"),
        (b'id,content\na,"one\n', r"line 2: not readable as CSV"),
        (b"id,content\na,caf\xe9\n", r"is not UTF-8"),
        ("id,content\na,one\n".encode("utf-16"), r"is in UTF-16; convert it"),
        ("id,content\na,one\n".encode("utf-16-le"), r"is in UTF-16 or UTF-32; convert it"),
        (b"id,content\na,one\na,two\n", r"line 3: the id 'a' was given before"),
        (b"id,content\n ,one\n", r"line 2: 'id' holds ' '; an id is a text"),
        (b"name,content\na,one\n", r"line 2: no column 'id'; it has name, content"),
    ],
)
def test_a_csv_file_that_cannot_be_used_is_refused_with_its_line(tmp_path: Path, content: bytes, said: str) -> None:
    bright(tmp_path)
    (tmp_path / "documents" / "biology.jsonl").unlink()
    (tmp_path / "documents" / "biology.csv").write_bytes(content)
    with pytest.raises(BadData, match=rf"biology\.csv.*{said}"):
        named("bright").open("biology", tmp_path, None)


def test_a_csv_file_may_have_a_byte_order_mark_blank_lines_and_lists(tmp_path: Path) -> None:
    bright(tmp_path)
    for name in ("documents", "examples"):
        (tmp_path / name / "biology.jsonl").unlink()
    documents = "\ufeffid,content\r\na,one\r\n\r\nb,two\r\n"
    (tmp_path / "documents" / "biology.csv").write_text(documents, encoding="utf-8", newline="")
    examples = 'query,id,excluded_ids,gold_ids\nwhen,q,"[""b""]","[""a""]"\n'
    (tmp_path / "examples" / "biology.csv").write_text(examples, encoding="utf-8")
    task = named("bright").open("biology", tmp_path, None)
    assert task.documents == {"a": "one", "b": "two"}
    assert (task.qrels, set(task.queries[0].excluded)) == ({"q": {"a": 1}}, {"b"})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"id": "q2", "query": "when", "excluded_ids": "['b']", "gold_ids": ["a"]}, "'excluded_ids' is .*list of ids"),
        ({"id": "q2", "query": "when", "excluded_ids": ["N/A"], "gold_ids": "a"}, "'gold_ids' is 'a'; .*list of ids"),
        ({"id": "q2", "query": "when", "excluded_ids": [], "gold_ids": None}, "'gold_ids' is NoneType"),
        ({"id": "q2", "query": None, "excluded_ids": [], "gold_ids": ["a"]}, "'query' is None"),
        ({"id": 2.5, "query": "when", "excluded_ids": [], "gold_ids": ["a"]}, "'id' holds 2.5"),
        ({"id": "q", "query": "when", "excluded_ids": [], "gold_ids": ["a"]}, "the id 'q' was given before"),
        ({"id": "q2", "query": "a \ud83d", "excluded_ids": [], "gold_ids": ["a"]}, "half of a character pair"),
    ],
)
def test_an_example_that_cannot_be_used_is_named(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    path = bright(tmp_path) / "examples" / "biology.jsonl"
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    with pytest.raises(BadData, match=rf"biology\.jsonl, row 2: .*{said}"):
        named("bright").open("biology", tmp_path, None)


@pytest.mark.parametrize("config", ["corpus", "queries", "instruction"])
def test_a_repeated_id_in_parquet_is_named(tmp_path: Path, config: str) -> None:
    folder = small_data.followir_folder(tmp_path)
    path = folder / "core17" / config / f"{config}-00000-of-00001.parquet"
    key = "query-id" if config == "instruction" else "_id"
    row = {key: "x", "title": "", "text": "one", "instruction": "only one"}
    small_data.parquet(path, [row, row])
    with pytest.raises(BadData, match=r"parquet, row 2: the (_id|query-id) 'x' was given before; ids must differ"):
        named("followir").open("core17", folder, None)


def test_grades_may_be_written_with_a_point_and_must_be_whole(tmp_path: Path) -> None:
    folder = small_data.followir_folder(tmp_path)
    path = folder / "core17" / "data" / "default-00000-of-00001.parquet"
    small_data.parquet(path, [{"query-id": "310-og", "corpus-id": "bread-1", "score": 0.5}])
    with pytest.raises(BadData, match=r"row 1: 'score' is 0\.5; it must be a whole number"):
        named("followir").open("core17", folder, None)


@pytest.mark.parametrize("value", ["1" * 5000, "1e300", 2**31, -1_000_000, float("inf"), float("nan"), "\u0661x"])
def test_a_grade_that_no_measure_can_count_is_named(value: Any) -> None:
    with pytest.raises(BadData, match="must be a whole number") as refusal:
        DataRow("here", {"score": value}).grade("score")
    assert len(str(refusal.value)) < 120


@pytest.mark.parametrize("names", ["id,text,id", "id,,", "a,a"])
def test_a_csv_file_whose_columns_share_a_name_is_refused(tmp_path: Path, names: str) -> None:
    """The first of them was lost without a word."""
    path = tmp_path / "data" / "test.csv"
    path.parent.mkdir()
    path.write_text(f"{names}\n{names}\n")
    with pytest.raises(BadData, match=r"line 1 names the column '.*' twice"):
        list(DataSource("x", tmp_path).rows("x", "test", []))
