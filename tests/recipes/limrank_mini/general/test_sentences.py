"""Sentences, cuts and comparisons of texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.limrank_mini.general.sentences import closest, count_words, cut, extended, holds, place_of, sentences

TEXT = "Oak is hard. It grows slowly in the north! Does it float? Yes, it does."
prose = st.lists(
    st.sampled_from(["Oak", "grows.", "Why?", "no", "Yes!", "3.5", "it", "(Then)", "end."]), max_size=30
).map(" ".join)


@given(prose)
def test_sentences_are_the_text_again(text: str) -> None:
    assert " ".join(sentences(text)).split() == text.split()


@given(prose, st.integers(1, 20))
def test_a_cut_text_is_a_beginning_of_at_most_so_many_words(text: str, most: int) -> None:
    found = cut(text, most)
    assert count_words(found) <= most
    assert text.split()[: count_words(found)] == found.split()
    assert found or not text.strip()


def test_whole_sentences_are_kept() -> None:
    assert sentences(TEXT) == ["Oak is hard.", "It grows slowly in the north!", "Does it float?", "Yes, it does."]
    assert cut(TEXT, 10) == "Oak is hard. It grows slowly in the north!"
    assert cut(TEXT, 2) == "Oak is"


@pytest.mark.parametrize(
    ("part", "found"), [("OAK is, hard", True), ("ak is hard", False), ("", False), ("it does", True), ("--", False)]
)
def test_a_part_is_held_as_whole_words(part: str, found: bool) -> None:
    assert holds(TEXT, part) is found


def test_the_closest_sentence_and_its_neighbours() -> None:
    assert closest("does wood float", TEXT, 1) == "Does it float?"
    assert closest("does wood float", TEXT, 5) == "Does it float? Yes, it does."
    assert extended(sentences(TEXT), 3, 6) == "Does it float? Yes, it does."
    assert place_of("it grows slowly", TEXT) == 1
    assert place_of("it melts", TEXT) is None
