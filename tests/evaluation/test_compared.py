"""Queries and documents of an evaluation compared by what is read, through the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.benchmarks.names import named
from evaluation.cli import main
from evaluation.first_stage import labelled_pairs
from retrieval.trec import read_run
from tests.evaluation.small_data import jsonl, litsearch_folder, qrels

TEXTS = ("Gout is treated with colchicine.", "Bread rises in the warmth.", "Tea is steeped.", "A bicycle is oiled.")


def folder(place: Path, corpus: dict[str, tuple[str, str]], queries: dict[str, str], judged: dict[str, str]) -> Path:
    jsonl(place / "corpus.jsonl", [{"_id": i, "title": t, "text": x} for i, (t, x) in corpus.items()])
    jsonl(place / "queries.jsonl", [{"_id": i, "text": text} for i, text in queries.items()])
    qrels(place / "qrels" / "test.tsv", [(query, document, 1) for query, document in judged.items()])
    return place


def run(place: Path, *more: str) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The result of `limrank-eval run beir --bm25`, and query -> candidates, best first."""
    out = place / "out"
    assert main(["run", "beir", "--bm25", "--data", str(place), "--out", str(out), *more]) == 0
    (path,) = out.rglob("result.json")
    ranked = read_run(path.parent / "run.trec")
    return json.loads(path.read_text(encoding="utf-8")), {query: list(found) for query, found in ranked.items()}


CORPUS = {f"d{number}": ("", text) for number, text in enumerate(TEXTS)}
QUERY = {"q": "how is gout treated with colchicine"}


@pytest.mark.parametrize(
    "copy", [TEXTS[0], TEXTS[0].replace(" ", "  "), TEXTS[0].upper(), TEXTS[0].replace(" ", "\u00a0")]
)
def test_an_answers_own_text_under_another_id_is_no_wrong_document(tmp_path: Path, copy: str) -> None:
    corpus = {"a-copy": ("", copy), **CORPUS}
    found, ranked = run(folder(tmp_path / "data", corpus, QUERY, {"q": "d0"}))
    assert "a-copy" not in ranked["q"]
    assert found["measures"]["nDCG@10"]["mean"] == 1.0
    assert found["protocol"]["excluded"] == "documents with the query's own id or text, and copies of its answers"


def test_copies_that_are_all_judged_relevant_stay(tmp_path: Path) -> None:
    place = folder(tmp_path / "data", {"copy": ("", TEXTS[0]), **CORPUS}, QUERY, {"q": "d0"})
    qrels(place / "qrels" / "test.tsv", [("q", "d0", 1), ("q", "copy", 1)])
    found, ranked = run(place)
    assert set(ranked["q"]) == {"d0", "copy"}
    assert found["measures"]["nDCG@10"]["mean"] == 1.0


OWN = {
    "text": ("x", ("", "How is gout treated  with colchicine")),
    "text under a title": ("x", ("Questions", "how is gout treated with colchicine")),
    "text in the title": ("x", ("how is gout treated with colchicine", "")),
    "id": ("q", ("", "Another page on gout and colchicine.")),
}


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
@pytest.mark.parametrize("stage", ["search:bm25", "a run file", "with the data"])
def test_a_document_with_the_querys_own_id_or_text_is_no_candidate(
    tmp_path: Path, own: tuple[str, tuple[str, str]], stage: str
) -> None:
    name, document = own
    place = folder(tmp_path / "data", {name: document, **CORPUS}, QUERY, {"q": "d0"})
    more: list[str] = ["--first-stage", stage] if stage == "search:bm25" else []
    if stage != "search:bm25":
        path = place / "candidates.trec" if stage == "with the data" else tmp_path / "mine.trec"
        path.write_text(f"q Q0 {name} 1 3.0 t\nq Q0 d0 2 2.0 t\nq Q0 d1 3 1.0 t\n")
        more = ["--first-stage", str(path)] if stage == "a run file" else []
    found, ranked = run(place, *more)
    assert name not in ranked["q"]
    assert found["measures"]["nDCG@10"]["mean"] == 1.0


def test_ids_that_queries_and_documents_share_by_chance_cost_no_answer(tmp_path: Path) -> None:
    """Both are numbered from 0, and the answer to query 0 is document 0."""
    corpus = {str(number): ("", text) for number, text in enumerate(TEXTS)}
    found, ranked = run(folder(tmp_path / "data", corpus, {"0": "gout colchicine"}, {"0": "0"}))
    assert ranked["0"] == ["0"]
    assert found["measures"]["nDCG@10"]["mean"] == 1.0


def test_numbers_given_to_queries_that_have_no_id_mean_nothing(tmp_path: Path) -> None:
    assert named("litsearch").open("full", litsearch_folder(tmp_path), None).queries[1].excluded == frozenset()


@pytest.mark.parametrize("again", ["how is gout treated", "How is gout  treated", "how is gout treated\u00a0"])
def test_the_same_query_under_two_ids_is_one_query(tmp_path: Path, again: str) -> None:
    """Each one's answer would be a wrong document of the other."""
    corpus = {**CORPUS, "d4": ("", "How gout is treated: with rest.")}
    queries = {"q1": "how is gout treated", "q2": again, "q3": "tea"}
    place = folder(tmp_path / "data", corpus, queries, {"q1": "d0", "q2": "d4", "q3": "d2"})
    found, ranked = run(place)
    assert found["queries"] == found["of_queries"] == 2
    assert set(ranked) == {"q1", "q3"}
    assert found["measures"]["nDCG@10"]["mean"] == 1.0
    assert found["protocol"]["query"].endswith("; 1 queries that read the same as an earlier one are one with it")


def test_the_report_prints_what_was_left_out(tmp_path: Path) -> None:
    place = folder(tmp_path / "data", CORPUS, QUERY, {"q": "d0"})
    run(place)
    assert main(["report", str(place / "out")]) == 0
    assert "documents with the query's own id or text" in (place / "out" / "report.md").read_text(encoding="utf-8")


def test_labelled_pairs_hold_no_copy_of_an_answer(tmp_path: Path) -> None:
    corpus = {f"copy{number}": ("", TEXTS[0] + " " * number) for number in range(3)}
    corpus |= {f"w{number}": ("", f"Gout number {number} has its own page.") for number in range(5)} | CORPUS
    task = named("beir").open("test", folder(tmp_path / "data", corpus, {"q": "gout page"}, {"q": "d0"}), None)
    queries, found = labelled_pairs(task, 5)
    assert [query.id for query in queries] == ["q"]
    assert set(found["q"]) <= {"d0", *(f"w{number}" for number in range(5))}


def test_scores_made_with_other_words_are_not_taken_for_these(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a journal from before words of scripts without blanks were split."""
    place = folder(tmp_path / "data", CORPUS, QUERY, {"q": "d0"})
    run(place)
    (journal,) = (place / "out").rglob("scores.jsonl")
    header, *rest = journal.read_text(encoding="utf-8").splitlines()
    belongs = json.loads(header)
    assert "ICU" in belongs["belongs_to"].pop("words")
    journal.write_text("\n".join([json.dumps(belongs), *rest]) + "\n", encoding="utf-8")
    assert main(["run", "beir", "--bm25", "--data", str(place), "--out", str(place / "out")]) == 2
    assert "holds scores made otherwise (words: None there, 'ICU words" in capsys.readouterr().err


def test_queries_without_a_candidate_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queries = {"q1": "gout", "q2": "zeppelins", "q3": "!?"}
    place = folder(tmp_path / "data", CORPUS, queries, {"q1": "d0", "q2": "d1", "q3": "d2"})
    found, _ = run(place)
    assert found["without_candidates"] == 2
    assert "the first stage found nothing for 2 of them, which count as 0" in capsys.readouterr().out
    assert main(["report", str(place / "out")]) == 0
    assert "3, 2 without a candidate" in (place / "out" / "report.md").read_text(encoding="utf-8")


def test_values_by_query_are_read_back_whatever_their_ids_hold(tmp_path: Path) -> None:
    queries = {"q\u2028a": "gout", "q\u0085b": "tea", "q c": "bicycle"}
    place = folder(tmp_path / "data", CORPUS, queries, dict(zip(queries, ("d0", "d2", "d3"), strict=True)))
    run(place)
    (result,) = (place / "out").rglob("result.json")
    assert main(["compare", str(result.parent), str(result.parent)]) == 0


@pytest.mark.parametrize(
    ("name", "row", "said"),
    [
        ("corpus.jsonl", '{"_id": "x", "text": "Gout \\ud83d is"}', "'text' holds half of a character pair"),
        ("corpus.jsonl", '{"_id": "x", "title": "\\udc00", "text": "t"}', "'title' holds half of a character pair"),
        ("queries.jsonl", '{"_id": "x", "text": "\\ud83d"}', "'text' holds half of a character pair"),
        ("corpus.jsonl", '{"_id": "d1", "text": "again"}', "the id 'd1' was given at row 2"),
        ("queries.jsonl", '{"_id": " q ", "text": "again"}', "the id 'q' was given at row 1"),
        ("corpus.jsonl", '{"_id": "x\\ty", "text": "t"}', "holds a tab or a line break"),
        ("corpus.jsonl", "caf\u00e9", "not UTF-8 at byte 3"),
    ],
)
def test_a_row_that_cannot_be_used_stops_the_evaluation_by_name(
    tmp_path: Path, name: str, row: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = folder(tmp_path / "data", CORPUS, QUERY, {"q": "d0"})
    with (place / name).open("a", encoding="latin-1") as file:
        file.write(row + "\n")
    assert main(["run", "beir", "--bm25", "--data", str(place), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert f"{place / name}, row {2 if name == 'queries.jsonl' else 5}: " in told
    assert said in told


def test_data_in_another_encoding_stops_the_evaluation_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = folder(tmp_path / "data", CORPUS, QUERY, {"q": "d0"})
    for path in (place / "corpus.jsonl", place / "queries.jsonl", place / "qrels" / "test.tsv"):
        plain = path.read_text(encoding="utf-8")
        path.write_text(plain, encoding="utf-16")
        assert main(["run", "beir", "--bm25", "--data", str(place), "--out", str(tmp_path / "out")]) == 2
        assert f"{path} is in UTF-16; convert it to UTF-8" in capsys.readouterr().err
        path.write_text(plain, encoding="utf-8")
