"""Sentences of a passage, and shorter passages built from them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(\[]?[A-Z0-9])")
_WORD = re.compile(r"\w+")
_SHORT_WORD = 3  # letters: words up to this length carry little meaning


def sentences(text: str) -> list[str]:
    """The sentences in order, without surrounding space. A text without sentence ends is one sentence."""
    return [sentence for part in _END.split(text.strip()) if (sentence := part.strip())]


def count_words(text: str) -> int:
    return len(text.split())


def cut(text: str, most: int) -> str:
    """The first whole sentences with at most `most` words in total; a longer first sentence is itself cut."""
    if count_words(text) <= most:
        return text
    kept: list[str] = []
    left = most
    for sentence in sentences(text):
        left -= count_words(sentence)
        if left < 0:
            break
        kept.append(sentence)
    return " ".join(kept) if kept else " ".join(text.split()[:most])


@lru_cache(maxsize=100_000)  # the same passages are compared with many queries
def normal(text: str) -> str:
    """Words in lower case separated by one space: the form in which texts are compared."""
    return " ".join(_WORD.findall(text.casefold()))


def holds(text: str, part: str) -> bool:
    """Whether `text` contains `part` as whole words, ignoring case and punctuation."""
    wanted = normal(part)
    return bool(wanted) and f" {wanted} " in f" {normal(text)} "


def closest(query: str, text: str, least: int) -> str:
    """The sentence that shares most words with the query, extended by those after it to at least `least` words."""
    parts = sentences(text)
    asked = _telling(query)
    best = max(range(len(parts)), key=lambda place: (len(asked & _telling(parts[place])), -place), default=0)
    return extended(parts, best, least) if parts else text


def extended(parts: Sequence[str], place: int, least: int) -> str:
    """The sentence at `place` extended by its neighbours, those after it first, to at least `least` words."""
    start, stop = place, place + 1
    while count_words(" ".join(parts[start:stop])) < least and stop - start < len(parts):
        if stop < len(parts):
            stop += 1
        else:
            start -= 1
    return " ".join(parts[start:stop])


def place_of(evidence: str, text: str) -> int | None:
    """The index of the sentence that contains `evidence` or begins it; None when it is not found."""
    parts = sentences(text)
    wanted = normal(evidence)
    for place, part in enumerate(parts):
        found = normal(part)
        if found and (wanted in found or wanted.startswith(found)):
            return place
    return None


def _telling(text: str) -> set[str]:
    return {word for word in normal(text).split() if len(word) > _SHORT_WORD}
