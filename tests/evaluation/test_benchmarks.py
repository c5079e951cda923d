"""Each benchmark from a small folder in its own schema, down to queries, passages, judgements and what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from evaluation.benchmarks import gpqa
from evaluation.benchmarks.data_source import DataSource, local_files
from evaluation.benchmarks.names import BENCHMARKS, named
from evaluation.benchmarks.rows import DataRow
from evaluation.benchmarks.task import sampled
from evaluation.errors import BadData, BadSettings, NotAvailable
from evaluation.first_stage import candidates, data_candidates
from tests.evaluation import small_data


def test_bright_excludes_per_query_and_can_search_with_other_words(tmp_path: Path) -> None:
    folder = small_data.bright_folder(tmp_path)
    task = named("bright").open("biology", folder, None)
    assert len(task.documents) == 6  # both parquet files
    assert task.qrels["q1"] == {"bread-1": 1}
    by_id = {query.id: query for query in task.queries}
    assert by_id["q1"].excluded == {"bread-2"}
    assert by_id["q2"].excluded == frozenset()  # "N/A" is no document
    found, stage = candidates(task, list(task.queries), None, 3)
    assert stage == "search:bm25"
    assert "bread-1" in found["q1"]
    assert "bread-2" not in found["q1"]
    reasoned = named("bright").open("biology", folder, "gpt4_reason")
    assert next(iter(found["q3"])) == "bike-1"
    assert next(iter(candidates(reasoned, list(reasoned.queries), None, 3)[0]["q3"])) == "bike-2"
    assert {query.text for query in reasoned.queries} == {query.text for query in task.queries}
    assert candidates(reasoned, list(reasoned.queries), None, 3)[1] == "search:bm25 with gpt4_reason"
    assert reasoned.fingerprint() != task.fingerprint(), "BM25 and bi-encoders score other texts"


def test_followir_pairs_its_instructions_and_brings_candidates(tmp_path: Path) -> None:
    task = named("followir").open("core17", small_data.followir_folder(tmp_path), None)
    by_id = {query.id: query for query in task.queries}
    assert by_id["310-og"].instruction == "Anything on bread counts."
    assert by_id["310-changed"].instruction == "Only why bread rises slowly counts."
    assert task.changed == {"310": ("bread-2",)}
    found, _ = candidates(task, list(task.queries), None, 3)
    assert list(found["310-og"]) == ["bread-2", "tea-1", "bread-1"]
    assert task.documents["bread-2"].startswith("Bread Rye bread")
    assert [query.id for query in sampled(task.queries, 1)] == ["310-changed", "310-og"], "one topic"
    searched, _ = candidates(task, list(task.queries), "search:bm25", 1)
    assert list(searched["310-changed"]) == ["bread-1"], "its instruction is searched with"


def test_litsearch_numbers_its_queries(tmp_path: Path) -> None:
    task = named("litsearch").open("full", small_data.litsearch_folder(tmp_path), None)
    assert [query.id for query in task.queries] == ["0", "1", "2"]
    assert task.qrels["2"] == {"2": 1}
    assert task.measures[0] == "R@5"
    assert {query.group for query in task.queries} == {"specificity 0", "specificity 1"}


def test_medquad_has_two_readings_and_trec_dl_graded_measures(tmp_path: Path) -> None:
    task = named("medquad").open("dev", small_data.medquad_folder(tmp_path / "medquad"), None)
    plain, other = task.qrels["q-dev-0-causes"], task.readings["same answer"]["q-dev-0-causes"]
    assert (set(plain), set(other)) == ({"dev-0-causes"}, {"dev-0-causes", "dev-1-causes"})
    assert task.candidates_name == "bm25"
    assert {query.group for query in task.queries} == {"symptoms", "treatment", "causes"}
    train = named("medquad").open("train", tmp_path / "medquad", None)
    assert (train.readings, train.candidates) == ({}, None)
    graded = named("trec-dl").open("test", small_data.beir_folder(tmp_path / "dl19"), None)
    assert graded.name == "trec-dl/dl19"
    assert graded.candidates_name == "bm25"
    assert graded.measures[:3] == ("nDCG@10", "nDCG@5", "RR(rel=2)@10")


def test_gpqa_shuffles_its_choices_the_same_way_every_time(tmp_path: Path) -> None:
    source = DataSource(gpqa.HUB, small_data.gpqa_folder(tmp_path))
    questions = gpqa.load(source, "gpqa_diamond")
    assert questions == gpqa.load(source, "gpqa_diamond")
    for one, right in zip(questions, ("two minutes", "every 300 km"), strict=True):
        assert one.choices["ABCD".index(one.answer)] == right
        assert len(set(one.choices)) == 4
    assert "\n" in questions[0].text


def test_jsonl_and_parquet_of_one_schema_read_alike(tmp_path: Path) -> None:
    rows = [{"id": "a", "content": "one"}, {"id": "b", "content": "two"}]
    small_data.jsonl(tmp_path / "j" / "documents" / "biology.jsonl", rows)
    small_data.parquet(tmp_path / "p" / "documents" / "biology-00000-of-00001.parquet", rows)
    read = [
        [row.values for row in DataSource("x", tmp_path / kind).rows("documents", "biology", ("id",))] for kind in "jp"
    ]
    assert read[0] == read[1] == rows


def test_what_is_not_there_is_not_available(tmp_path: Path) -> None:
    with pytest.raises(NotAvailable, match=r"no examples/pony-\*\.parquet"):
        named("bright").open("pony", small_data.bright_folder(tmp_path / "b"), None)
    with pytest.raises(NotAvailable, match="does not exist"):
        named("bright").open("pony", tmp_path / "none", None)
    with pytest.raises(NotAvailable, match="from a folder only"):
        named("medquad").open("test", None, None)
    with pytest.raises(NotAvailable, match=r"has no split 'dev'; its splits are test"):
        named("beir").open("dev", small_data.beir_folder(tmp_path / "own"), None)
    with pytest.raises(NotAvailable, match=r"candidates_splade_test\.trec, candidates_splade\.trec"):
        named("beir").open("test", tmp_path / "own", "splade")


def test_what_is_there_but_wrong_is_named(tmp_path: Path) -> None:
    small_data.jsonl(tmp_path / "documents" / "biology.jsonl", [{"id": "a", "text": "one"}])
    with pytest.raises(BadData, match=r"no column 'content'; it has id, text"):
        list(DataSource("x", tmp_path).rows("documents", "biology", ("id", "content")))
    folder = small_data.beir_folder(tmp_path / "own")
    (folder / "corpus.jsonl").write_text('{"_id": "a"}\nnot json\n')
    with pytest.raises(BadData, match=r"corpus\.jsonl, row 2: not one JSON object"):
        named("beir").open("test", folder, None)
    with pytest.raises(BadSettings, match="is no task of bright"):
        named("bright").open("cooking", None, None)
    with pytest.raises(BadSettings, match="'brigth' is no benchmark"):
        named("brigth")


def test_a_first_stage_may_be_a_name_a_file_or_a_search(tmp_path: Path) -> None:
    folder = small_data.beir_folder(tmp_path / "own")
    task = named("beir").open("test", folder, None)
    queries = list(task.queries)
    assert candidates(task, queries, None, 2)[0]["q1"].keys() == {"bread-1", "bread-2"}
    path = tmp_path / "mine.trec"
    small_data.trec_run(path, {"q1": ["tea-2", "bread-1"]})
    found, stage = candidates(task, queries, str(path), 10)
    assert (stage, list(found["q1"]), found["q2"]) == ("mine", ["tea-2", "bread-1"], {})
    assert candidates(task, queries, "search:bm25", 1)[0]["q3"].keys() == {"bike-1"}
    assert (data_candidates("minilm"), data_candidates("search:bm25"), data_candidates(str(path))) == (
        "minilm",
        None,
        None,
    )
    small_data.trec_run(path, {"q1": ["unknown"]})
    with pytest.raises(BadData, match="names document 'unknown'"):
        candidates(task, queries, str(path), 10)


def test_a_larger_sample_holds_every_smaller_one(tmp_path: Path) -> None:
    task = named("medquad").open("dev", small_data.medquad_folder(tmp_path), None)
    drawn = [query.id for query in sampled(task.queries, None)]
    assert sorted(drawn) == sorted(query.id for query in task.queries)
    assert [query.id for query in sampled(reversed(task.queries), 5)] == drawn[:5]


def test_the_hub_calls_the_dev_split_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def rows(source: DataSource, config: str, split: str, columns: Sequence[str], **_: object) -> list[DataRow]:
        asked.append((source.hub, config, split))
        return []

    monkeypatch.setattr(DataSource, "rows", rows)
    assert named("beir:msmarco").open("dev", None, None).name == "msmarco/dev"
    assert asked[0] == ("BeIR/msmarco-qrels", "default", "validation")


def test_all_benchmarks_of_the_table_are_there() -> None:
    assert list(BENCHMARKS) == ["bright", "followir", "litsearch", "medquad", "trec-dl", "beir"]
    assert len(BENCHMARKS["bright"].tasks) == 12
    assert BENCHMARKS["followir"].tasks == ("robust04", "news21", "core17")
    published = {one.name: one.published[0].value for one in BENCHMARKS.values() if one.published}
    assert published == {"bright": 28.0, "followir": 1.2, "litsearch": 60.1, "medquad": 0.952}
    assert gpqa.PUBLISHED.value == 30.3


def test_the_files_of_a_hub_layout_are_found(tmp_path: Path) -> None:
    for name in ("query/full-00000-of-00002.parquet", "query/full-00001-of-00002.parquet", "gpqa_main.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in local_files(tmp_path, "query", "full")] == [
        "full-00000-of-00002.parquet",
        "full-00001-of-00002.parquet",
    ]
    assert local_files(tmp_path, "gpqa_main", "train") == [tmp_path / "gpqa_main.csv"]
    assert local_files(tmp_path, "corpus", "corpus") == []
