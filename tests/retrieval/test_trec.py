"""Run files and qrels: order, checks, and what is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.errors import BadInput
from retrieval.errors import MissingData
from retrieval.trec import read_qrels, read_run, write_run


def test_a_run_is_ordered_by_score_then_by_rank(tmp_path: Path) -> None:
    path = tmp_path / "run.trec"
    path.write_text("q Q0 a 3 1.0 t\nq Q0 b 1 2.5 t\nq Q0 c 2 1.0 t\n\nr Q0 a 1 -4 t\n")
    assert {query: list(found.items()) for query, found in read_run(path).items()} == {
        "q": [("b", 2.5), ("c", 1.0), ("a", 1.0)],
        "r": [("a", -4.0)],
    }


def test_a_written_run_reads_back_equal_to_the_last_bit(tmp_path: Path) -> None:
    run = {"q": {"a": 0.1 + 0.2, "b": 1 / 3}, "r": {"c": -1e-300}}
    write_run(tmp_path / "run.trec", run, "tag")
    assert read_run(tmp_path / "run.trec") == run
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("q Q0 a 1 2.0", "line 1: 5 columns"),
        ("q Q0 a one 2.0 t", "rank 'one'"),
        ("q Q0 a 1 nan t", "must be finite"),
        ("q Q0 a 1 2.0 t\nq Q0 a 2 1.0 t", "names a document twice"),
    ],
)
def test_a_bad_run_is_refused_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "run.trec"
    path.write_text(line + "\n")
    with pytest.raises(BadInput, match=said):
        read_run(path)


def test_qrels_are_read_with_and_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t2\nq\te\t0\n")
    (tmp_path / "b.tsv").write_text("q\td\t2\nq\te\t0\n")
    assert read_qrels(tmp_path / "a.tsv") == read_qrels(tmp_path / "b.tsv") == {"q": {"d": 2, "e": 0}}
    (tmp_path / "c.tsv").write_text("q\td\t0.5\n")
    with pytest.raises(BadInput, match="whole score"):
        read_qrels(tmp_path / "c.tsv")
    with pytest.raises(MissingData, match="does not exist"):
        read_qrels(tmp_path / "none.tsv")


def test_qrels_of_trec_have_a_column_more_and_are_read_where_they_may_stand(tmp_path: Path) -> None:
    path = tmp_path / "a.qrels"
    path.write_text("q 0 d 2\nq Q0 e 0\n")
    assert read_qrels(path, of_trec=True) == {"q": {"d": 2, "e": 0}}
    with pytest.raises(BadInput, match=r"a\.qrels, row 1: "):
        read_qrels(path)
    path.write_text("query-id\tcorpus-id\tscore\nq\td\t2\n")
    assert read_qrels(path, of_trec=True) == {"q": {"d": 2}}
    path.write_text("q 1 d 2\n")
    with pytest.raises(BadInput, match=r"a\.qrels, row 1: "):
        read_qrels(path, of_trec=True)


def test_ids_may_hold_blanks_where_columns_are_divided_by_tabs(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("\ufeffquery-id\tcorpus-id\tscore\nq 1\td\u00a02\t1\n\nq 1\td 3 \t0\n", encoding="utf-8")
    assert read_qrels(path) == {"q 1": {"d\u00a02": 1, "d 3": 0}}
    run = {"q 1": {"d\u00a02": 2.0, "d 3": 1.0}, "q": {"e": 0.5}}
    write_run(tmp_path / "run.trec", run, "a tag")
    assert read_run(tmp_path / "run.trec") == run


@pytest.mark.parametrize("line", [b"q\td\t\xff\n", b"q\td\t\xc2\xb2\n", b"q\td\t--1\n", b"q\t\t1\n", b"q d\t1\n"])
def test_a_line_of_qrels_that_cannot_be_used_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(b"q\td\t1\n" + line)
    with pytest.raises(BadInput, match=r"a\.tsv, row 2: "):
        read_qrels(path)


@pytest.mark.parametrize("grade", ["1" * 5000, "2147483648", "1000000", "-1000000", "1_0", "\u0661"])
def test_a_grade_that_no_measure_can_count_is_named(tmp_path: Path, grade: str) -> None:
    """trec_eval counts in 32 bits: a larger grade was another one, without a word."""
    path = tmp_path / "test.tsv"
    path.write_text(f"q\td\t{grade}\n")
    with pytest.raises(BadInput, match=r"row 1: .* a whole score below a million"):
        read_qrels(path)
    path.write_text("q\td\t-000999999\n")
    assert read_qrels(path) == {"q": {"d": -999_999}}
