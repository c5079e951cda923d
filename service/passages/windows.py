"""Windows of a text at the borders of its sentences, and how much of it is read. Positions are code points."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence

from retrieval.sentences import sentence_spans, stripped

Place = tuple[int, int]
"""A stretch of a text, half-open."""
TokenEnds = Callable[[str], Sequence[int]]
"""For each token of a text alone the code point behind it, in their order."""

_BLOCK = 65_536  # characters that are looked at together
_LIKELY_CHARACTERS_PER_TOKEN = 8
_SLACK_TOKENS = 8
_LONGEST_MARKS = 16  # characters that are waited for until one ends
_JOINERS = "\u200d\ufe0f"  # between characters that are shown as one


def read_part(text: str, token_ends: TokenEnds, limit: int, *, cut_left: bool) -> Place:
    """What of a text is read where at most `limit` tokens of it are: its beginning, or its end."""
    characters = (limit + _SLACK_TOKENS) * _LIKELY_CHARACTERS_PER_TOKEN
    while True:
        begin = max(0, len(text) - characters) if cut_left else 0
        near = text[begin : begin + characters]
        ends = token_ends(near)
        if len(ends) > limit + _SLACK_TOKENS or len(near) == len(text):
            break
        characters *= 2
    if len(ends) <= limit:
        return 0, len(text)
    return (begin + ends[-limit - 1], len(text)) if cut_left else (0, ends[limit - 1])


def windows(text: str, place: Place, token_ends: TokenEnds, size: int, overlap: int) -> Iterator[Place]:
    """Windows of at most `size` tokens of what lies at `place`, which together hold all of it but blanks.

    Each begins and ends with a sentence, where it is not longer than a window; one that is longer is cut at a blank, or
    between two characters. A window begins with so much of the one before it as whole sentences of at most `overlap`
    tokens are. A text of blanks is one window. The text is looked at in blocks, so that each step takes a while only.
    """
    begin, end = next(stripped(text, *place), (0, 0))
    block = _BLOCK
    first = True
    while begin < end:
        stop = min(end, begin + block)
        found = list(_in_block(text, (begin, stop), token_ends, size, overlap, whole=stop == end))
        if stop == end:
            yield from found
            first = first and not found
            break
        if len(found) < 2:  # the last one might have gone on behind the block
            block *= 2
            continue
        yield from found[:-1]
        first, begin, block = False, found[-1][0], _BLOCK
    if first:
        yield place


def _in_block(
    text: str, place: Place, token_ends: TokenEnds, size: int, overlap: int, *, whole: bool
) -> Iterator[Place]:
    """`whole`: the text ends with the block; else its last sentence may go on, and is left out."""
    begin, end = place
    spans = list(sentence_spans(text, begin, end))
    ends = [begin + each for each in token_ends(text[begin:end])]

    def tokens(start: int, stop: int) -> int:
        """Those that stand between, one that is cut included."""
        behind = max(bisect_right(ends, stop), min(bisect_left(ends, stop) + 1, len(ends)))
        return behind - bisect_right(ends, start)

    parts = [part for span in (spans if whole else spans[:-1]) for part in _fitting(text, span, ends, size)]
    first = 0
    while first < len(parts):
        last = first
        while last + 1 < len(parts) and tokens(parts[first][0], parts[last + 1][1]) <= size:
            last += 1
        yield parts[first][0], parts[last][1]
        after = last + 1
        if after == len(parts):
            return
        repeated = after
        while (
            repeated - 1 > first
            and tokens(parts[repeated - 1][0], parts[last][1]) <= overlap
            and tokens(parts[repeated - 1][0], parts[after][1]) <= size
        ):
            repeated -= 1
        first = repeated


def _fitting(text: str, span: Place, ends: Sequence[int], size: int) -> Iterator[Place]:
    """A sentence, or the parts of one that has more than `size` tokens. `ends`: of the tokens of the text."""
    begin, end = span
    while True:
        last = bisect_right(ends, begin) + size - 1
        if last >= len(ends) or ends[last] >= end:
            yield from stripped(text, begin, end)
            return
        cut = _good_cut(text, begin, ends[last])
        yield from stripped(text, begin, cut)
        begin = cut


def _good_cut(text: str, begin: int, cut: int) -> int:
    """Where to cut a text that lies from `begin` up to `cut` and goes on: beside the last blank of its second half,
    else between two characters that are shown apart."""
    for place in range(cut, begin + (cut - begin) // 2, -1):
        if text[place].isspace() or text[place - 1].isspace():
            return place
    near = (*range(cut, begin, -1), *range(cut + 1, min(cut + _LONGEST_MARKS, len(text)) + 1))
    return next((place for place in near if not _belongs_to_the_one_before(text, place)), cut)


def _belongs_to_the_one_before(text: str, place: int) -> bool:
    if place == len(text):
        return False
    character = text[place]
    return character in _JOINERS or text[place - 1] == _JOINERS[0] or unicodedata.category(character).startswith("M")
