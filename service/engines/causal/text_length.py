"""The fewest tokens that texts can come to, told from their characters in microseconds.

A call of ten thousand passages that cannot be scored in time is then refused before it is encoded, which takes about a
second.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contract.formats.tokenizer import Tokenizer

_LOOKED_AT = 1024  # characters, so that ten thousand long texts take no longer than a blink of the event loop
_AT_ONCE = 256  # texts; one that is not plain makes the others of its block slow
_BLANK, _LAST_PRINTABLE = ord(" "), ord("~")
_CHARACTERS = "".join(sorted(set(string.printable) - set(string.whitespace)))


class FewestTokens:
    """Never more than the tokenizer makes of each text alone. Thread-safe."""

    def __init__(self, tokenizer: Tokenizer, longest: int | None = None) -> None:
        """`longest`: the most characters that one token can stand for; None: any number."""
        self._longest = longest
        self._by_words = reads_words_apart(tokenizer)

    def __call__(self, texts: Sequence[str], longest: int) -> int:
        """Of all texts together, each counted as `longest` tokens at most."""
        blocks = [texts[begin : begin + _AT_ONCE] for begin in range(0, len(texts), _AT_ONCE)]
        return sum(self._block(block, longest) for block in blocks)

    def _block(self, texts: Sequence[str], longest: int) -> int:
        """Five times as fast where all texts are short and of plain words."""
        if self._by_words and max(map(len, texts)) <= _LOOKED_AT:
            words = _words([bare for text in texts if (bare := text.strip())])
            if words is not None:
                return int(np.minimum(words, longest).sum())
        return sum(min(self._one(text), longest) for text in texts)

    def _one(self, text: str) -> int:
        least = min(1, len(text)) if self._longest is None else len(text) // self._longest
        begin = text[:_LOOKED_AT]
        # Normalisers may drop other characters, and with them whole words.
        if self._by_words and begin.isascii() and begin.isprintable():
            return max(least, _single_blanks(begin) - 1)
        return least


def reads_words_apart(tokenizer: Tokenizer) -> bool:
    """True for a tokenizer that never makes one token of parts of two words, and makes one at least of each word of
    printable ASCII. So do those that split at blanks before they merge."""
    if tokenizer.pre_tokenizer is None:
        return False
    text = "a b c"
    if tokenizer.normalizer is not None:
        text = tokenizer.normalizer.normalize_str(text)
    apart = len(tokenizer.pre_tokenizer.pre_tokenize_str(text)) >= len("abc")
    return apart and all(tokenizer.encode(each, add_special_tokens=False).ids for each in _CHARACTERS)


def _words(stripped: Sequence[str]) -> NDArray[np.int64] | None:
    """How many words each text has at least, shape (texts,); None where they are not all of printable ASCII. The texts
    have no blanks at their ends, so that every single blank stands between two words."""
    joined = ".".join(stripped)
    if not joined or not joined.isascii():
        return None
    characters = np.frombuffer(joined.encode(), np.uint8)
    if characters.min() < _BLANK or characters.max() > _LAST_PRINTABLE:
        return None
    blank = characters == _BLANK
    single = blank.copy()
    single[1:] &= ~blank[:-1]
    single[:-1] &= ~blank[1:]
    lengths = np.fromiter(map(len, stripped), np.int64, len(stripped))
    begins = np.cumsum(lengths + 1) - lengths - 1  # in `joined`, with one character between two texts
    return np.add.reduceat(single, begins, dtype=np.int64) + 1


def _single_blanks(text: str) -> int:
    """No more than there are single blanks; all but those at the ends stand between two words."""
    return text.count(" ") - 2 * text.count("  ")
