"""Sentence boundaries in any script; the only module that splits texts at them.

`split_sentences` is for making training data. Its boundaries are recorded in runs and journals, so they must not
change. `sentence_spans` is for any text: it finds fewer boundaries within sentences (abbreviations, initials) and more
between parts without full stops (paragraphs, list items), and returns positions, so that a part of the text is a slice
of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex  # type: ignore[import-untyped]  # no types

FULL_WIDTH_ENDS = "\u3002\uff01\uff1f\uff61"  # full stop, exclamation mark, question mark
_SENTENCE_END = regex.compile(
    rf"(?<=[.!?])\s+|(?<=[{FULL_WIDTH_ENDS}\u17d4\u17d5\u104b])\s*"
    r"|(?<=[\p{Thai}\p{Lao}])\s+(?=[\p{Thai}\p{Lao}])"
)

# Sentence ends before a blank, including those of Urdu and Arabic, Hindi, Armenian and Amharic; and ends that need no
# blank: Chinese, Khmer, Burmese.
_ENDS = ".!?\u2026\u061f\u06d4\u0964\u0965\u0589\u1362"
_TIGHT_ENDS = rf"{FULL_WIDTH_ENDS}\u17d4\u17d5\u104b"
_CLOSING = r"\"'\u201d\u2019\u00bb)\]"
_MARKS = r"\p{M}\u200d"  # belong to the character before them
_TIGHT_CLOSING = "\u300d\u300f\uff09\u201d\u2019"
_ABBREVIATION = r"\b(?:\p{Lu}|Mr|Mrs|Ms|Dr|Prof|St|No|Fig|vs|e\.g|i\.e)\."
# A match begins at the first blank of a run and takes all of it, so that a text of blanks takes no longer than another.
_BORDER = regex.compile(
    rf"(?<=[{_ENDS}][{_CLOSING}]{{0,3}})(?<!{_ABBREVIATION})\s++(?!\p{{Ll}})"
    rf"|(?<=[{_TIGHT_ENDS}][{_TIGHT_CLOSING}]{{0,3}})(?![{_TIGHT_CLOSING}{_TIGHT_ENDS}{_MARKS}])\s*+"
    r"|(?<=[\p{Thai}\p{Lao}])\s++(?=[\p{Thai}\p{Lao}])"
    r"|(?<!\s)(?=[^\S\n]*+\n[^\S\n]*+\n)\s++"
    r"|(?<!\s)(?=[^\S\n]*+\n[^\S\n]*+(?:[-*\u2022\u2013]|\d{1,3}[.)])\s)\s++"
)
_VISIBLE = r"[^\s\x1c-\x1f]"
_FIRST, _LAST = regex.compile(_VISIBLE), regex.compile(rf"(?r){_VISIBLE}")


def split_sentences(text: str) -> list[str]:
    """The sentences of a text. Thai and Lao have no mark for their end; there a blank between two letters ends one."""
    return [sentence for sentence in _SENTENCE_END.split(text) if sentence]


def sentence_spans(text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Half-open spans of the sentences of a text, or of its part from `start` to `end`, in order and without
    surrounding blanks. Only blanks are between two spans; a text of blanks has none."""
    end = len(text) if end is None else end
    begun = start
    for border in _BORDER.finditer(text, start, end):
        yield from stripped(text, begun, border.start())
        begun = border.end()
    yield from stripped(text, begun, end)


def stripped(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The part from `start` to `end` without surrounding blanks; nothing if it consists of blanks."""
    first, last = _FIRST.search(text, start, end), _LAST.search(text, start, end)
    if first is not None and last is not None:
        yield first.start(), last.end()
