"""Overlap with evaluation folders, by runs of words."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.errors import BadInput
from synth.filters import word_runs as module
from synth.filters.decontamination import EvaluationSet, decontamination
from synth.filters.word_runs import build_run_index, word_runs
from tests.synth.examples import beir_folder, record

FACT = "the old lighthouse keeper painted every one of the forty iron steps in bright green each spring"


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    corpus = [
        {"_id": "d1", "title": "Lighthouse", "text": f"It is said that {FACT}."},
        {
            "_id": "d2",
            "text": "a document that is only judged in the other split, of some thirteen words or more in all",
        },
    ]
    queries = [
        {"_id": "q1", "text": "who painted the lighthouse steps"},
        {"_id": "q2", "text": "what is judged in the other split"},
    ]
    beir_folder(tmp_path / "museum", corpus, queries, [("q1", "d1", 1)], "test")
    return beir_folder(tmp_path / "museum", corpus, queries, [("q2", "d2", 1)], "dev")


def reasons(evaluation: str, *texts: str, **knobs: float) -> list[str | None]:
    with decontamination([EvaluationSet.named(evaluation)], **knobs) as filter_:  # type: ignore[arg-type]
        return [filter_.reason(record(passage=text)) for text in texts]


def test_thirteen_words_in_a_row_are_overlap_and_twelve_are_not(evaluation: Path) -> None:
    words = FACT.split()
    thirteen = "Once, " + " ".join(words[2:15]).upper() + ", they say."
    twelve = "Once, " + " ".join(words[2:14]) + " then went home to sleep."
    assert reasons(str(evaluation), thirteen, twelve) == ["passage overlaps with museum", None]


def test_a_short_query_overlaps_where_it_is_one_of_theirs(evaluation: Path) -> None:
    with decontamination([EvaluationSet(evaluation)]) as filter_:
        assert filter_.reason(record(query="Who painted the lighthouse steps?")) == "query overlaps with museum"
        assert filter_.reason(record(query="who painted the lighthouse door")) is None


def test_a_split_holds_its_own_queries_and_judged_documents_alone(evaluation: Path) -> None:
    other = "a document that is only judged in the other split, of some thirteen words or more in all"
    assert reasons(f"{evaluation}:test", FACT, other) == ["passage overlaps with museum:test", None]
    assert reasons(f"{evaluation}:dev", FACT, other) == [None, "passage overlaps with museum:dev"]


def test_a_phrase_that_many_of_their_texts_share_tells_nothing(tmp_path: Path) -> None:
    phrase = "ask your own doctor about this since every person and every case is a little different"
    corpus = [
        {"_id": str(n), "text": f"{n} {' '.join(random.Random(n).choices('abcdefgh', k=20))} {phrase}"}
        for n in range(12)
    ]
    folder = beir_folder(tmp_path / "clinic", corpus, [{"_id": "q", "text": "hello"}], [("q", "1", 1)])
    assert reasons(str(folder), phrase) == [None]
    assert reasons(str(folder), phrase, common=12) == ["passage overlaps with clinic"]


def test_a_least_share_lets_one_shared_sentence_pass(evaluation: Path) -> None:
    long = FACT + " " + " ".join(f"word{n}" for n in range(60))
    assert reasons(str(evaluation), long, FACT, least=0.5) == [None, "passage overlaps with museum"]


def test_an_evaluation_folder_that_is_none_is_a_sentence(tmp_path: Path, evaluation: Path) -> None:
    with pytest.raises(BadInput, match="a BEIR folder holds"):
        reasons(str(tmp_path))
    with pytest.raises(BadInput, match="has no split 'train'; its splits are dev, test"):
        reasons(f"{evaluation}:train")


def test_nothing_is_left_on_the_disk(tmp_path: Path, evaluation: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with decontamination([EvaluationSet(evaluation)], folder=place):
        assert list(place.iterdir())
    assert not list(place.iterdir())


texts = st.lists(st.lists(st.sampled_from("abc"), max_size=9).map(" ".join), min_size=1, max_size=8)


def naive(text: str, size: int) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    size = min(size, len(words))
    return {tuple(words[n : n + size]) for n in range(len(words) - size + 1)} if words else set()


@settings(max_examples=80, deadline=None)
@given(collection=texts, asked=texts, size=st.integers(2, 4), common=st.integers(1, 3), buffered=st.integers(1, 6))
def test_the_index_on_the_disk_agrees_with_a_set_in_memory(
    collection: list[str], asked: list[str], size: int, common: int, buffered: int
) -> None:
    counts = Counter(run for text in collection for run in naive(text, size))
    held = {run for run, count in counts.items() if count <= common}
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(module, "_BUFFERED", buffered)
        index = build_run_index(collection, size, common, Path(folder))
        assert len(index) == len(held)
        for text in asked:
            runs = naive(text, size)
            expected = len(runs & held) / len(runs) if runs else 0.0
            assert index.share(word_runs(text, size)) == pytest.approx(expected)


def test_runs_are_sorted_and_each_there_once() -> None:
    runs = word_runs("a b a b a b", 2)
    assert len(runs) == 2
    assert np.all(runs[:-1] < runs[1:])


def test_judgements_that_cannot_be_read_are_not_passed_over(evaluation: Path) -> None:
    """Else nothing would be held against the split, and nobody would know."""
    (evaluation / "qrels" / "test.tsv").write_text("q1\t0\td1\t1\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"test\.tsv, row 1: not 'query-id<TAB>corpus-id<TAB>score'"):
        reasons(f"{evaluation}:test", "a passage")
    (evaluation / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq9\td9\t1\n", encoding="utf-8")
    with pytest.raises(BadInput, match="museum:test: has no query and no document with a text"):
        reasons(f"{evaluation}:test", "a passage")
