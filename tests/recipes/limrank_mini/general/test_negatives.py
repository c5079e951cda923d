"""Which candidates may serve as negatives: everything the data folder warns of is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.limrank_mini.general.negatives import Judge, in_turn, nearest
from recipes.limrank_mini.general.sources import GeneralData, read_general
from tests.recipes.limrank_mini.general.folders import DEV, UNSEEN, write_general


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> GeneralData:
    return read_general(write_general(tmp_path_factory.mktemp("data")) / "general")


def place(data: GeneralData, name: str) -> int:
    return next(number for number, passage in enumerate(data.passages) if passage.id == name)


def test_held_out_documents_and_unseen_sources_are_barred(data: GeneralData) -> None:
    barred = {data.passages[number].id for number in data.barred}
    assert barred == {f"{thing}-{part}" for thing in (DEV, UNSEEN) for part in range(2)}
    assert {question.id for question in data.questions}.isdisjoint({f"q-{DEV}", f"q-{UNSEEN}"})


def test_every_reason_refuses(data: GeneralData) -> None:
    """Vectors are set by hand: one candidate is near the positive, one nearer to the query than it."""
    question = next(question for question in data.questions if question.id == "q-oak")
    vectors = np.zeros((len(data.passages), 4), np.float32)
    vectors[:, 3] = 1.0
    vectors[place(data, "oak-0")] = (1, 0, 0, 0)
    vectors[place(data, "salt-0")] = (0.9, 0, 0, 0.43)
    vectors[place(data, "iron-0")] = (0, 1, 0, 0)
    query = np.array((0.5, 0.87, 0, 0), np.float32)
    refused: Counter[str] = Counter()
    names = ["oak-0", "oak-1", "oak-copy", "salt-0", "iron-0", f"{DEV}-1", f"{UNSEEN}-0", "wool-0", "rice-1"]
    kept = Judge(data, vectors, refused).negatives(question, query, [place(data, name) for name in names])
    assert [data.passages[number].id for number in kept] == ["wool-0", "rice-1"]
    assert refused == {
        "relevant in this split": 1,
        "held out": 2,
        "same document": 1,
        "same text": 1,
        "near the relevant passage": 1,
        "nearer to the query than the relevant passage": 1,
    }


def test_a_candidate_that_holds_the_answer_is_refused(data: GeneralData) -> None:
    question = next(question for question in data.questions if question.id == "q-oak")
    told = list(data.passages)
    number = place(data, "wool-0")
    told[number] = type(told[number])("wool-0", "Note: OAK needs 3 days!", "", "textbook", "MIT", "things", "doc-wool")
    changed = GeneralData(tuple(told), data.questions, data.candidates, data.barred)
    vectors = np.tile(np.array([[0, 1]], np.float32), (len(told), 1))
    vectors[place(data, "oak-0")] = (1, 0)
    refused: Counter[str] = Counter()
    query = np.array((1, 0), np.float32)
    assert Judge(changed, vectors, refused).negatives(question, query, [number, place(data, "wool-1")]) == [
        place(data, "wool-1")
    ]
    assert refused == {"holds the answer or evidence": 1}


places = st.lists(st.integers(0, 20), max_size=12)


@given(places, places, st.integers(0, 10))
def test_first_stages_take_turns(first: list[int], second: list[int], count: int) -> None:
    found = in_turn(first, second, count)
    assert len(found) == len(set(found)) == min(count, len({*first, *second}))
    assert set(found) <= {*first, *second}
    if count and first:
        assert found[0] == first[0]


@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 15))
def test_the_nearest_are_those_of_a_full_sort(seed: int, size: int, depth: int) -> None:
    generator = np.random.default_rng(seed)
    passages, queries = generator.normal(size=(size, 5)).astype("f4"), generator.normal(size=(3, 5)).astype("f4")
    for found, row in zip(nearest(queries, passages, depth), queries @ passages.T, strict=True):
        assert found == sorted(range(size), key=lambda number: (-float(row[number]), number))[:depth]


def test_the_folder_is_read_whole(tmp_path: Path) -> None:
    data = read_general(write_general(tmp_path) / "general")
    assert len(data.passages) == 25
    assert len(data.questions) == 10
    assert len(data.candidates["q-oak"]) == 25
