"""Words of scripts with and without blanks, and an index of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.bm25 import Bm25
from retrieval.sentences import split_sentences
from retrieval.words import (
    count_words,
    is_unspaced,
    join_words,
    languages_by_script,
    split_words,
    words,
)

JAPANESE = "\u5bff\u53f8\u306e\u4f5c\u308a\u65b9"  # how to make sushi
CHINESE = "\u5982\u4f55\u5236\u4f5c\u5bff\u53f8"
THAI = "\u0e27\u0e34\u0e18\u0e35\u0e17\u0e33\u0e0b\u0e39\u0e0a\u0e34"
KHMER = "\u179a\u1794\u17c0\u1794\u1792\u17d2\u179c\u17be\u179f\u17ca\u17bc\u179f\u17ca\u17b8"
LAO = "\u0ea7\u0eb4\u0e97\u0eb5\u0ec0\u0eae\u0eb1\u0e94\u0e8a\u0eb9\u0e8a\u0eb4"
BURMESE = "\u1006\u1030\u101b\u103e\u102e\u101c\u102f\u1015\u103a\u1014\u100a\u103a\u1038"
BURMESE_TEA = "\u101c\u1000\u103a\u1016\u1000\u103a\u101b\u100a\u103a"
BURMESE_MAKE = "\u1016\u103b\u1031\u102c\u103a"
HINDI = "\u0939\u093f\u0928\u094d\u0926\u0940 \u092e\u0947\u0902"
SCRIPTS = {"ja": JAPANESE, "zh": CHINESE, "th": THAI, "km": KHMER, "lo": LAO, "my": BURMESE}


@given(st.text(st.characters(max_codepoint=0x24F)))
def test_latin_texts_are_split_as_they_always_were(text: str) -> None:
    assert words(text) == re.findall(r"\w+", text)
    assert split_words(text) == text.split()
    assert count_words(text) == len(text.split())


@pytest.mark.parametrize("text", SCRIPTS.values(), ids=SCRIPTS)
def test_scripts_without_blanks_have_several_words_and_no_torn_ones(text: str) -> None:
    assert 2 <= count_words(text) < len(text)
    assert "".join(words(text)) == text == join_words(split_words(text))
    assert is_unspaced(text)


def test_vowel_signs_do_not_end_a_word() -> None:
    assert words(HINDI) == HINDI.split()
    assert words("cafe\u0301 au lait") == ["caf\u00e9", "au", "lait"]


def test_scripts_may_be_mixed() -> None:
    assert words(f"iPhone{JAPANESE}, 3 ways")[0] == "iPhone"
    assert words(f"iPhone{JAPANESE}, 3 ways")[-2:] == ["3", "ways"]
    assert count_words(f"how is {JAPANESE} said") == 3 + count_words(JAPANESE)
    assert not is_unspaced(f"a long English sentence with {JAPANESE[:2]} in it")


@pytest.mark.parametrize("language", SCRIPTS)
def test_the_script_tells_the_language(language: str) -> None:
    possible = languages_by_script(SCRIPTS[language])
    assert possible is not None
    assert language in possible
    assert "en" not in possible


def test_sentences_end_without_blanks_too() -> None:
    assert split_sentences(f"{JAPANESE}\u3002{CHINESE}\uff1f") == [f"{JAPANESE}\u3002", f"{CHINESE}\uff1f"]
    assert split_sentences(f"{THAI} {THAI}") == [THAI, THAI]
    assert split_sentences("One is 3.5. Two!") == ["One is 3.5.", "Two!"]


@pytest.mark.parametrize("text", SCRIPTS.values(), ids=SCRIPTS)
def test_bm25_finds_what_is_asked_for_in_a_script_without_blanks(text: str) -> None:
    others = [other for other in SCRIPTS.values() if other != text]
    passages = [*others, f"{text}{text[:2]}\u3002 and more"]
    assert Bm25(passages).search([text], 3)[0][0].index == len(others)


def test_one_character_of_a_japanese_word_is_found() -> None:
    assert [hit.index for hit in Bm25(["tea", JAPANESE]).search([JAPANESE[0]], 2)[0]] == [1]


@pytest.mark.parametrize(("query", "place"), [("C", 0), ("x", 1), ("the who", 2)])
def test_queries_of_single_letters_and_stop_words_are_answered(query: str, place: int) -> None:
    passages = ["C is a language", "solve for x", "The Who played live", "Java"]
    index = Bm25(passages)
    assert index.search([query], 4)[0][0].index == place
    assert index.scores(query, [place])[0] > 0


@pytest.mark.parametrize("passages", [["!!!", "..."], []])
def test_a_corpus_without_a_word_finds_nothing(passages: list[str]) -> None:
    index = Bm25(passages)
    assert index.search(["any words", "!?"], 3) == [[], []]
    assert index.scores("any words", range(len(passages))) == [0.0] * len(passages)


@pytest.mark.parametrize(
    ("query", "passage"),
    [
        (BURMESE_TEA + BURMESE_MAKE, BURMESE_TEA),  # ICU takes the two as one word
        ("\u0e0a\u0e32\u0e40\u0e02\u0e35\u0e22\u0e27", "\u0e43\u0e1a\u0e40\u0e02\u0e35\u0e22\u0e27"),
    ],
    ids=["Burmese", "Thai"],
)
def test_a_compound_is_found_by_a_part_of_it(query: str, passage: str) -> None:
    assert [hit.index for hit in Bm25(["bread", passage]).search([query], 2)[0]] == [1]
    assert [hit.index for hit in Bm25(["bread", query]).search([passage], 2)[0]] == [1]
