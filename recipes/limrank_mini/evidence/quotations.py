"""Stretches of a passage that may be quoted, and passages cut so that a stretch stays in them.

Everything is a literal slice of the text: a quotation is checked by looking for it in the passage.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from contract.evidence import QUOTE
from recipes.limrank_mini.general.sentences import normal
from retrieval.sentences import sentence_spans

MOST_WORDS = 28  # of a quotation
MOST_CHARACTERS = 190  # of a quotation, for scripts without blanks
LEAST_WORDS = 5  # fewer are mostly a heading
_CLAUSE = re.compile(r"(?<=[,;:)\u3001\uff0c\u061b])\s*|\s+(?=[(\u2013\u2014|])")

_REPEATED = re.compile(r"(?P<title>\S.{2,80}?) +(?=(?P=title)\b)", re.I)

Span = tuple[int, int]
Tokens = Callable[[str], int]


def stretches(text: str, start: int = 0) -> list[Span]:
    """The sentences of each line from `start` on, those that are too long to quote in parts of whole clauses.

    Parts with a double quote are left out, because they cannot be quoted without doubt. Questions and parts of a few
    words are, too, unless nothing else is there. A title that the text repeats belongs to no sentence.
    """
    repeated = _REPEATED.match(text)
    start = max(start, 0 if repeated is None else repeated.end())
    found = [span for sentence in _sentences(text, start) for span in _short(text, *sentence)]
    clean = [(first, last) for first, last in found if last > first and QUOTE not in text[first:last]]
    telling = [(first, last) for first, last in clean if _tells(text[first:last])]
    return telling or clean


def stretch_of(evidence: str, text: str, wanted: Callable[[str], float]) -> Span | None:
    """The stretch of the passage that lies within the evidence or contains it; of several, the one with the highest
    `wanted`. None when the evidence is not in the passage."""
    told = normal(evidence)
    if not told:
        return None
    spans = _all(text)
    within = [span for span in spans if (said := normal(text[slice(*span)])) and (said in told or told in said)]
    return max(within, key=lambda span: (wanted(text[slice(*span)]), -span[0]), default=None)


def _all(text: str) -> list[Span]:
    found = (span for sentence in _sentences(text) for span in _short(text, *sentence))
    return [(first, last) for first, last in found if last > first and QUOTE not in text[first:last]]


def window(text: str, keep: Span | None, most: int, tokens: Tokens) -> tuple[str, Span | None]:
    """Whole sentences of the text with at most `most` tokens, the stretch `keep` among them, and the place of that now.

    The text is cut behind, and before only when `keep` would not fit otherwise. If even its own sentence is too long,
    `keep` alone is left. Without `keep`, a first sentence that is too long is returned as it is, for the trainer to
    cut.
    """
    if tokens(text) <= most:
        return text, keep
    spans = list(_sentences(text))
    start = 0
    while True:
        stop = start + 1
        while stop < len(spans) and tokens(text[spans[start][0] : spans[stop][1]]) <= most:
            stop += 1
        first, last = spans[start][0], spans[stop - 1][1]
        if keep is None:
            return text[first:last], None
        if first <= keep[0] and keep[1] <= last and tokens(text[first:last]) <= most:
            return text[first:last], (keep[0] - first, keep[1] - first)
        start += 1
        if start == len(spans):
            return text[keep[0] : keep[1]], (0, keep[1] - keep[0])


def _sentences(text: str, start: int = 0) -> Iterator[Span]:
    at = start
    for line in text[start:].splitlines(keepends=True):
        yield from sentence_spans(text, at, at + len(line))
        at += len(line)


def _short(text: str, start: int, end: int) -> Iterator[Span]:
    """The sentence, or stretches of its clauses that are short enough to quote; a clause that is too long is left
    out."""
    if _fits(text[start:end]):
        yield start, end
        return
    begun, last = start, start
    borders = [match.start() for match in _CLAUSE.finditer(text, start, end) if match.start() > start]
    for border in [*borders, end]:
        if not _fits(text[begun:border]):
            if last > begun:
                yield _stripped(text, begun, last)
            begun = last
        last = border
    if last > begun and _fits(text[begun:last]):
        yield _stripped(text, begun, last)


def _stripped(text: str, start: int, end: int) -> Span:
    said = text[start:end]
    return start + len(said) - len(said.lstrip(" ,;|\n")), end - len(said) + len(said.rstrip(" ,;|\n("))


def _fits(said: str) -> bool:
    return len(said.split()) <= MOST_WORDS and len(said) <= MOST_CHARACTERS


def _tells(said: str) -> bool:
    """Whether it is long enough and no question. In scripts without blanks six characters count as a word."""
    words = max(len(said.split()), 0 if said.isascii() else len(said) // 6)
    return words >= LEAST_WORDS and not said.endswith(("?", "\uff1f"))
