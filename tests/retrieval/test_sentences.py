"""Where sentences end: in scripts with full stops and without, and never in time that grows faster than the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.sentences import sentence_spans

# The example texts are written in escapes where letters could be taken for others.
CHINESE = "\u4eca\u5929\u5929\u6c14\u5f88\u597d"
THAI = "\u0e41\u0e21\u0e27\u0e01\u0e34\u0e19\u0e1b\u0e25\u0e32"
HINDI = "\u092f\u0939 \u0918\u0930 \u0939\u0948\u0964"
ARABIC = "\u0647\u0644 \u0647\u0630\u0627 \u0628\u064a\u062a\u061f"


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One is 3.5. Two! Three?", ["One is 3.5.", "Two!", "Three?"]),
        ('He said "Go." Then he left.', ['He said "Go."', "Then he left."]),
        ("Dr. Smith, e.g. in the U.S. Army, left. J. R. Ewing stayed.", None),
        ("as in vs. the other", ["as in vs. the other"]),
        (f"{CHINESE}\u3002{CHINESE}\uff1f\u300c{CHINESE}\u3002\u300d{CHINESE}", None),
        (f"{THAI} {THAI}", [THAI, THAI]),
        (f"{HINDI} {HINDI}", [HINDI, HINDI]),
        (f"{ARABIC} {ARABIC}", [ARABIC, ARABIC]),
        ("A heading\n\nand what follows", ["A heading", "and what follows"]),
        ("wrapped\nin lines\nof text", ["wrapped\nin lines\nof text"]),
        ("To do:\n- one\n- two\n 3. three", ["To do:", "- one", "- two", "3. three"]),
        ("", []),
        (" \n\t\u3000 ", []),
        ("  no end  ", ["no end"]),
        ("...", ["..."]),
    ],
)
def test_the_sentences(text: str, expected: list[str] | None) -> None:
    if expected is not None:
        assert sentences(text) == expected


def test_abbreviations_and_initials_end_no_sentence() -> None:
    assert sentences("Dr. Smith of the U.S. Army left, e.g. by car. J. R. Ewing stayed.") == [
        "Dr. Smith of the U.S. Army left, e.g. by car.",
        "J. R. Ewing stayed.",
    ]


@pytest.mark.parametrize("mark", ["\ufe0f", "\u0301", "\u200d", "\ufe0f\u200d"])
def test_a_full_stop_is_not_parted_from_a_mark_that_is_shown_with_it(mark: str) -> None:
    text = f"一つ目。{mark}二つ目。三つ目"
    assert [text[start:end] for start, end in sentence_spans(text)] == [f"一つ目。{mark}二つ目。", "三つ目"]


def test_a_closing_bracket_belongs_to_the_sentence_before_it() -> None:
    quoted = f"\u300c{CHINESE}\u3002\u300d"
    assert sentences(f"{CHINESE}\u3002{quoted}{CHINESE}") == [f"{CHINESE}\u3002", quoted, CHINESE]


TEXTS = st.text(
    st.sampled_from("ab. .!?\n\n \t-1)\"'\u3002\u300d\u0e01\u0e02\u0964\x1c\u2028") | st.characters(codec="utf-8"),
    max_size=60,
)


@given(TEXTS, st.data())
def test_spans_are_in_order_and_leave_out_blanks_only(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    at = start
    for begin, stop in sentence_spans(text, start, end):
        assert at <= begin < stop <= end
        assert not text[at:begin].strip()
        assert text[begin:stop].strip() == text[begin:stop]
        at = stop
    assert not text[at:end].strip()


@pytest.mark.parametrize("text", ["a" + " " * 200_000 + "b", "\n" * 200_000, "a.\n \n" * 50_000, ".\u300d" * 100_000])
def test_texts_of_blanks_and_ends_take_no_longer_than_others(text: str) -> None:
    """Each would take hours if a run of blanks were looked at once for each of them."""
    assert len(list(sentence_spans(text))) <= 100_000
