"""Near-duplicates: what is a copy, what only looks like one, and how little memory it takes."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator

import pytest

from contract.records import Record
from synth.filters.near_duplicates import NearDuplicates
from synth.scratch import scratch
from tests.synth.examples import record

WORDS = [f"{a}{b}" for a in ("ba", "co", "di", "fu", "ge") for b in ("lm", "nt", "rk", "ss", "va", "zo")]
REASON = "query and passage nearly the same as an earlier record's"


def text(seed: int, length: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


@pytest.fixture
def near() -> Iterator[NearDuplicates]:
    with scratch() as connection:
        yield NearDuplicates(connection)


def pair(number: int, **fields: str) -> Record:
    return record(number, query=text(number, 12), passage=text(1000 + number), **fields)


def test_a_copy_is_dropped_however_it_is_cased_or_spaced(near: NearDuplicates) -> None:
    first = pair(1)
    assert near.reason(first) is None
    assert near.reason(pair(1)) == REASON
    shouted = record(2, query=first.query.upper() + "?", passage="  " + first.passage.replace(" ", "\n"))
    assert near.reason(shouted) == REASON


def test_a_copy_with_a_word_changed_is_dropped(near: NearDuplicates) -> None:
    first = pair(1)
    assert near.reason(first) is None
    words = first.passage.split()
    words[30] = "something"
    assert near.reason(record(2, query=first.query, passage=" ".join(words))) == REASON


def test_one_passage_under_many_queries_and_one_query_with_many_passages_are_kept(near: NearDuplicates) -> None:
    first = pair(1)
    assert near.reason(first) is None
    assert near.reason(record(2, query=text(99, 12), passage=first.passage)) is None
    assert near.reason(record(3, query=first.query, passage=text(98))) is None
    assert near.reason(record(4, query=first.query, passage=first.passage, instruction="Only recent ones.")) is None


def test_another_name_in_the_same_short_question_is_another_question(near: NearDuplicates) -> None:
    passage = text(1)
    for number, name in enumerate(("sourdough", "rye", "brioche", "focaccia")):
        assert near.reason(record(number, query=f"what are the steps for {name} bread", passage=passage)) is None
    assert near.reason(record(9, query="What are the steps, for RYE bread?", passage=passage)) == REASON


def test_half_a_passage_is_no_copy(near: NearDuplicates) -> None:
    first = pair(1)
    assert near.reason(first) is None
    half = " ".join(first.passage.split()[:30] + text(97, 30).split())
    assert near.reason(record(2, query=first.query, passage=half)) is None


def test_a_copy_of_a_dropped_record_is_measured_against_those_that_were_kept(near: NearDuplicates) -> None:
    assert near.reason(pair(1)) is None
    assert near.reason(pair(1)) == REASON
    assert near.reason(pair(1)) == REASON


def test_the_threshold_decides() -> None:
    first = pair(1)
    words = first.passage.split()
    words[10:16] = text(96, 6).split()
    changed = record(2, query=first.query, passage=" ".join(words))
    with scratch() as loose, scratch() as strict:
        for filter_, reason in (
            (NearDuplicates(loose, threshold=0.5), REASON),
            (NearDuplicates(strict, threshold=0.95), None),
        ):
            assert filter_.reason(first) is None
            assert filter_.reason(changed) == reason


def test_copies_are_found_among_many_and_memory_does_not_grow(near: NearDuplicates) -> None:
    assert [near.reason(pair(number)) for number in range(300)] == [None] * 300
    tracemalloc.start()
    assert [near.reason(pair(number)) for number in range(300, 900)] == [None] * 600
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 300_000  # the signatures of 600 records alone are 1.2 MB
    assert [near.reason(pair(number)) for number in range(0, 900, 30)] == [REASON] * 30
