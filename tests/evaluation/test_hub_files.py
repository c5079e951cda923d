"""Datasets laid out as on the hub and read through `datasets`: CSV and JSON values stay as they are written.

A folder with a card stands for the hub, whose files `datasets` finds by the same rules.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evaluation.benchmarks import gpqa
from evaluation.benchmarks.data_source import DataSource
from evaluation.benchmarks.names import named
from evaluation.errors import BadData, NotAvailable
from tests.evaluation import small_data
from tests.evaluation.test_data_source import CHOICES, DATES
from tests.ports import free_port
from tests.processes import ROOT, clean_environment
from tests.waiting import PATIENCE


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def dataset(folder: Path, configs: Mapping[str, Mapping[str, str]]) -> DataSource:
    """A dataset whose card names the file of each configuration and split."""
    lines = ["---", "configs:"]
    for config, splits in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        lines += [line for split, path in splits.items() for line in (f"  - split: {split}", f"    path: {path}")]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))
    return DataSource(str(folder))


@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.gz"])
def test_choices_that_look_like_nothing_are_choices(tmp_path: Path, ending: str) -> None:
    source = dataset(tmp_path / "gpqa", {"gpqa_diamond": {"train": f"gpqa_diamond.{ending}"}})
    between = "\t" if ending == "tsv" else ","
    choices = [choice for choice in CHOICES if choice]
    rows = [
        ["Record ID", *gpqa.COLUMNS[:5]],
        *([f"00{at}", "007", choice, "a", "b", "c"] for at, choice in enumerate(choices)),
    ]
    content = "".join(between.join(row) + "\n" for row in rows).encode()
    (tmp_path / "gpqa" / f"gpqa_diamond.{ending}").write_bytes(gzip.compress(content) if "gz" in ending else content)
    questions = gpqa.load(source, "gpqa_diamond")
    assert [question.id for question in questions] == [f"00{at}" for at in range(len(choices))]
    assert {question.text for question in questions} == {"007"}
    answers = [question.choices[gpqa.LETTERS.index(question.answer)] for question in questions]
    assert answers == choices


@pytest.mark.parametrize("ending", ["jsonl", "json", "jsonl.gz"])
@pytest.mark.parametrize("ids", [DATES, ("1.0", "2.50", "1e3"), ("true", "null", "NaN")])
def test_ids_and_texts_that_look_like_something_else_stay_texts(
    tmp_path: Path, ids: Sequence[str], ending: str
) -> None:
    configs = {"documents": {"biology": f"documents.{ending}"}, "examples": {"biology": f"examples.{ending}"}}
    folder = Path(dataset(tmp_path / "bright", configs).hub)
    example = {"query": "when", "id": "q", "excluded_ids": [ids[1]], "gold_ids": [ids[0]]}
    for name, rows in (("documents", [{"id": each, "content": each} for each in ids]), ("examples", [example])):
        write(folder / f"{name}.{ending}", rows)
    task = named("bright").load(DataSource(str(folder)), "biology", None)
    assert task.documents == {name: name for name in ids}
    assert task.qrels == {"q": {ids[0]: 1}}
    assert task.queries[0].excluded == {ids[1]}


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    text = json.dumps(rows) if path.suffix == ".json" else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def test_parquet_keeps_its_own_types(tmp_path: Path) -> None:
    source = dataset(tmp_path / "data", {"corpus": {"corpus": "corpus.parquet"}})
    small_data.parquet(tmp_path / "data" / "corpus.parquet", [{"_id": "2024-01-02", "text": "NA"}])
    (row,) = source.rows("corpus", "corpus", ("_id", "text"))
    assert (row.id("_id"), row.text("text")) == ("2024-01-02", "NA")


@pytest.mark.parametrize(
    ("content", "said"),
    [("id,content\na,one\nb\n", "line 3: 1 fields"), ("id,content\na,one\na,two\n", "given before")],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, content: str, said: str) -> None:
    source = dataset(tmp_path / "data", {"documents": {"biology": "d.csv"}})
    (tmp_path / "data" / "d.csv").write_text(content)
    with pytest.raises(BadData, match=said):
        list(source.rows("documents", "biology", ("id", "content"), unique="id"))


@pytest.mark.parametrize(("config", "split"), [("none", "biology"), ("documents", "none")])
def test_a_configuration_or_split_that_is_not_there_is_a_sentence(tmp_path: Path, config: str, split: str) -> None:
    source = dataset(tmp_path / "data", {"documents": {"biology": "d.csv"}})
    (tmp_path / "data" / "d.csv").write_text("id,content\na,one\n")
    with pytest.raises(NotAvailable, match=rf"{config}/{split}\) could not be loaded from the hub: "):
        list(source.rows(config, split, ("id", "content")))


def test_what_was_fetched_before_is_read_where_the_hub_cannot_be_reached(tmp_path: Path) -> None:
    """By the real client of the hub, from a cache as it leaves it."""
    repository = tmp_path / "hf" / "hub" / "datasets--princeton-nlp--LitSearch"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    snapshot = repository / "snapshots" / ("0" * 40)
    small_data.jsonl(snapshot / "query" / "full.jsonl", [{"query": "rye bread", "specificity": 1, "corpusids": [1]}])
    corpus = [
        {"corpusid": 1, "title": "Rye", "abstract": "Bread of rye."},
        {"corpusid": 2, "title": "Tea", "abstract": "-"},
    ]
    small_data.jsonl(snapshot / "corpus_clean" / "full.jsonl", corpus)
    hub = {"HF_ENDPOINT": f"http://127.0.0.1:{free_port()}", "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
    words = ["-m", "tests.evaluation.impatient", "run", "litsearch", "--bm25", "--out", str(tmp_path / "out")]
    child = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=clean_environment(**hub, NO_PROXY="127.0.0.1"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    assert "litsearch (1 queries" in child.stdout, child.stdout
