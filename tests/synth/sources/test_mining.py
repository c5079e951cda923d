"""First stages and the choice among their hits."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.records import NegativeType
from retrieval.bm25 import Bm25
from retrieval.retriever import Hit
from synth.sources.hard_negatives import MinedNegative, mine_negatives

PASSAGES = [
    "ferry timetable harbour morning",
    "harbour harbour fees",
    "mountain hut booking mountain trail map weather",
    "morning weather",
    "morning ferry ferry ferry tickets harbour island island",
]


def by_hand(query: str, k1: float = 0.9, b: float = 0.4) -> list[float]:
    """Scores by Lucene's BM25 formula."""
    texts = [passage.split() for passage in PASSAGES]
    average = sum(map(len, texts)) / len(texts)
    scores = []
    for words in texts:
        counts = Counter(words)
        score = 0.0
        for word in query.split():
            having = sum(word in other for other in texts)
            idf = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
            score += idf * counts[word] / (counts[word] + k1 * (1 - b + b * len(words) / average))
        scores.append(score)
    return scores


@pytest.mark.parametrize("query", ["morning ferry", "harbour", "mountain weather island"])
def test_bm25_ranks_as_the_formula_does(query: str) -> None:
    hits = Bm25(PASSAGES, stopwords=False).search([query], depth=10)[0]
    expected = by_hand(query)
    assert [hit.index for hit in hits] == sorted(
        (n for n, s in enumerate(expected) if s > 0), key=lambda n: -expected[n]
    )
    assert [hit.score for hit in hits] == pytest.approx([expected[hit.index] for hit in hits], rel=1e-5)


def test_bm25_knows_nothing_of_words_it_never_saw() -> None:
    index = Bm25(PASSAGES)
    assert index.search(["zzz qqq"], depth=3) == [[]]
    assert index.search([], depth=3) == []
    assert len(index.search(["morning harbour ferry"], depth=2)[0]) == 2


def test_hits_of_a_bi_encoder_that_found_no_answer_all_stand_above_it() -> None:
    found = {NegativeType.BM25: hits((1, 9.0), (2, 8.0), (5, 7.0)), NegativeType.BI_ENCODER: hits((2, 0.9), (3, 0.8))}
    assert [one.index for one in mine_negatives(found, {0}, 4)] == [1, 5]


def hits(*scores: tuple[int, float]) -> list[Hit]:
    return [Hit(index, score) for index, score in scores]


def test_first_stages_take_turns_and_answers_are_left_out() -> None:
    found = {
        NegativeType.BM25: hits((0, 9.0), (1, 8.0), (2, 7.0)),
        NegativeType.BI_ENCODER: hits((3, 0.9), (1, 0.5), (4, 0.4)),
    }
    assert mine_negatives(found, positives={3}, count=3, barred={0}) == [
        MinedNegative(1, NegativeType.BM25),
        MinedNegative(2, NegativeType.BM25),
        MinedNegative(4, NegativeType.BI_ENCODER),
    ]


def test_a_hit_as_good_as_the_answer_is_passed_over_whoever_found_it() -> None:
    found = {
        NegativeType.BM25: hits((7, 9.0), (8, 8.0)),
        NegativeType.BI_ENCODER: hits((1, 0.80), (7, 0.79), (8, 0.70)),
    }
    assert [one.index for one in mine_negatives(found, {1}, 5, ceiling=0.95)] == [8]
    assert [one.index for one in mine_negatives(found, {1}, 5, ceiling=1.0)] == [7, 8]


ranked = st.lists(st.tuples(st.integers(0, 12), st.floats(0, 1)), max_size=12, unique_by=lambda hit: hit[0])


@given(bm25=ranked, dense=ranked, positives=st.sets(st.integers(0, 12), max_size=3), count=st.integers(0, 6))
def test_no_answer_no_repetition_and_never_too_many(
    bm25: list[tuple[int, float]], dense: list[tuple[int, float]], positives: set[int], count: int
) -> None:
    found = {
        NegativeType.BM25: sorted(hits(*bm25), key=lambda hit: -hit.score),
        NegativeType.BI_ENCODER: sorted(hits(*dense), key=lambda hit: -hit.score),
    }
    mined = [one.index for one in mine_negatives(found, positives, count)]
    assert len(mined) == len(set(mined)) <= count
    assert not set(mined) & positives
    assert set(mined) <= {index for index, _ in bm25 + dense}
