"""Scripts without blanks through `limrank-eval run`: BM25 as first stage and as scorer, on real files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.cli import main
from tests.evaluation.small_data import jsonl, qrels
from tests.unspaced import UNSPACED


def folder(place: Path, language: str) -> Path:
    """Passages and queries of one language, and one of each in English."""
    rows = [(f"{language}-{at}", text) for at, (_, text) in enumerate(UNSPACED[language])]
    jsonl(place / "corpus.jsonl", [{"_id": i, "title": "", "text": x} for i, x in [*rows, ("en", "Rye bread keeps.")]])
    queries = {f"q{at}": text for at, (text, _) in enumerate(UNSPACED[language])} | {"q-en": "rye bread"}
    jsonl(place / "queries.jsonl", [{"_id": name, "text": text} for name, text in queries.items()])
    judged = [(f"q{at}", f"{language}-{at}", 1) for at in range(3)]
    qrels(place / "qrels" / "test.tsv", [*judged, ("q-en", "en", 1)])
    return place


@pytest.mark.parametrize("language", UNSPACED)
def test_every_query_finds_its_passage(tmp_path: Path, language: str, capsys: pytest.CaptureFixture[str]) -> None:
    place, out = folder(tmp_path / "data", language), tmp_path / "out"
    assert main(["run", "beir", "--bm25", "--data", str(place), "--out", str(out)]) == 0
    (path,) = out.rglob("result.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert (found["queries"], found["without_candidates"]) == (4, 0)
    assert found["first_stage"]["nDCG@10"] == found["measures"]["P@1"]["mean"] == 1.0
    assert "found nothing" not in capsys.readouterr().out


@pytest.mark.parametrize("query", ["寿", "C", "x", "ก"])
def test_a_query_of_one_character_finds_the_passage_that_holds_it(tmp_path: Path, query: str) -> None:
    texts = {"d0": "寿 is a sign", "d1": "C is a language", "d2": "x is a letter", "d3": "ก is a letter", "d4": "tea"}
    jsonl(tmp_path / "corpus.jsonl", [{"_id": name, "text": text} for name, text in texts.items()])
    jsonl(tmp_path / "queries.jsonl", [{"_id": "q", "text": query}])
    answer = next(name for name, text in texts.items() if text.startswith(query))
    qrels(tmp_path / "qrels" / "test.tsv", [("q", answer, 1)])
    assert main(["run", "beir", "--bm25", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    (path,) = (tmp_path / "out").rglob("result.json")
    assert json.loads(path.read_text(encoding="utf-8"))["measures"]["P@1"]["mean"] == 1.0


@pytest.mark.parametrize("texts", [["!!!", "..."], ["\U0001f600", "\u2603"], ["", " "]])
def test_a_corpus_without_a_word_is_a_sentence(
    tmp_path: Path, texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    jsonl(tmp_path / "corpus.jsonl", [{"_id": f"d{at}", "text": text} for at, text in enumerate(texts)])
    jsonl(tmp_path / "queries.jsonl", [{"_id": "q", "text": "gout"}, {"_id": "r", "text": "tea"}])
    qrels(tmp_path / "qrels" / "test.tsv", [("q", "d0", 1), ("r", "d1", 1)])
    assert main(["run", "beir", "--bm25", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "none of 2 queries has a candidate" in capsys.readouterr().err
