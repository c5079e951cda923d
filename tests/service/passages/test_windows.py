"""Windows of texts: they hold all of it, fit, begin and end with sentences, and blocks do not show in them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.passages import windows as module
from service.passages.windows import read_part, windows

WORDS = [
    "river",
    "ice",
    "a",
    "valley,",
    "glacier",
    "und",
    "\u5c71\u5ddd",
    "e\u0301t\u00e9",
    "\U0001f469\u200d\U0001f680",
]


def four_characters(text: str) -> Sequence[int]:
    """A token is four characters."""
    return [*range(4, len(text), 4), *([len(text)] if text else [])]


def one_word(text: str) -> Sequence[int]:
    """A token is a word with the blank before it, as with the tokenizers of causal models."""
    ends, inside = [], False
    for place, character in enumerate([*text, " "]):
        if inside and character.isspace():
            ends.append(place)
        inside = not character.isspace()
    return ends


def cut(text: str, size: int, overlap: int = 0, ends: module.TokenEnds = one_word) -> list[str]:
    return [text[start:stop] for start, stop in windows(text, (0, len(text)), ends, size, overlap)]


def test_windows_are_whole_sentences_as_many_as_fit() -> None:
    text = "One two three. Four five. Six seven eight nine. Ten."
    assert cut(text, 5) == ["One two three. Four five.", "Six seven eight nine. Ten."]
    assert cut(text, 4) == ["One two three.", "Four five.", "Six seven eight nine.", "Ten."]
    assert cut(text, 100) == [text]


def test_windows_overlap_by_whole_sentences() -> None:
    text = "One two. Three. Four five six. Seven. Eight nine."
    assert cut(text, 4) == ["One two. Three.", "Four five six. Seven.", "Eight nine."]
    assert cut(text, 4, 1) == ["One two. Three.", "Three. Four five six.", "Seven. Eight nine."]
    assert cut(text, 5, 3) == ["One two. Three.", "Three. Four five six. Seven.", "Seven. Eight nine."]


def test_a_sentence_that_is_too_long_is_cut_at_blanks_else_between_characters() -> None:
    assert cut("one two three four five", 2) == ["one two", "three four", "five"]
    assert cut("\u5c71\u5ddd" * 5, 1, ends=four_characters) == ["\u5c71\u5ddd" * 2, "\u5c71\u5ddd" * 2, "\u5c71\u5ddd"]
    assert cut("aaae\u0301e\u0301e\u0301", 1, ends=four_characters) == [
        "aaa",
        "e\u0301",
        "e\u0301",
        "e\u0301",
    ]


@pytest.mark.parametrize("text", ["", " ", "\n\n\t "])
def test_a_text_of_blanks_is_one_window(text: str) -> None:
    assert list(windows(text, (0, len(text)), one_word, 5, 0)) == [(0, len(text))]


SENTENCES = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join), max_size=30)
ENDS = st.sampled_from([". ", "! ", "\n\n", "\u3002", "  ", ".\n- "])


@settings(max_examples=200)
@given(SENTENCES, st.data(), st.sampled_from([four_characters, one_word]))
def test_windows_cover_the_text_in_order_and_fit(
    sentences: list[str], data: st.DataObject, ends: module.TokenEnds
) -> None:
    text = "".join(sentence + data.draw(ENDS) for sentence in sentences)
    start = data.draw(st.integers(0, len(text) // 2))
    place = (start, data.draw(st.integers(start, len(text))))
    size = data.draw(st.integers(2, 12))
    overlap = data.draw(st.integers(0, size - 1))
    found = list(windows(text, place, ends, size, overlap))
    at = place[0]
    for number, (begin, stop) in enumerate(found):
        assert place[0] <= begin <= stop <= place[1]
        assert not text[at:begin].strip(), "only blanks are left out"
        assert stop > at or number == 0, "each goes on"
        assert number == 0 or begin > found[number - 1][0]
        assert len(ends(text[begin:stop])) <= size + 2, "a word that is cut is counted twice"
        at = stop
    assert not text[at : place[1]].strip()
    if not overlap:
        assert all(before[1] <= after[0] for before, after in pairwise(found))


@pytest.mark.parametrize("overlap", [0, 6])
def test_the_blocks_in_which_a_text_is_looked_at_do_not_show(monkeypatch: pytest.MonkeyPatch, overlap: int) -> None:
    choose = random.Random(7)
    text = "".join(choose.choice(WORDS) + choose.choice([" ", " ", " ", ". ", "\n\n"]) for _ in range(3000))
    whole = list(windows(text, (0, len(text)), one_word, 20, overlap))
    monkeypatch.setattr(module, "_BLOCK", 512)
    assert list(windows(text, (0, len(text)), one_word, 20, overlap)) == whole
    monkeypatch.setattr(module, "_BLOCK", 3)
    assert list(windows(text, (0, len(text)), one_word, 20, overlap)) == whole


@given(st.text(max_size=300), st.integers(1, 20), st.booleans())
def test_what_is_read_of_a_text(text: str, limit: int, cut_left: bool) -> None:
    start, stop = read_part(text, four_characters, limit, cut_left=cut_left)
    if len(four_characters(text)) <= limit:
        assert (start, stop) == (0, len(text))
    else:
        assert (stop == len(text)) if cut_left else (start == 0)
        assert limit - 1 <= len(four_characters(text[start:stop])) <= limit
