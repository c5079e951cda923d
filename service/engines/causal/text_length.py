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
_AT_ONCE = 256  # texts, so that the arrays stay small
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
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        least = np.minimum(lengths, 1) if self._longest is None else lengths // self._longest
        if self._by_words:
            least = np.maximum(least, _words([text[:_LOOKED_AT].strip() for text in texts]))
        return int(np.minimum(least, longest).sum())


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


def _words(stripped: Sequence[str]) -> NDArray[np.int64]:
    """How many words each text has at least, shape (texts,); 0 where it is not all of printable ASCII, as normalisers
    may drop other characters, and with them whole words. The texts have no blanks at their ends, so that every single
    blank stands between two words."""
    joined = "".join(f"{text}." for text in stripped)
    characters = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)  # one each
    blank = characters == _BLANK
    single = blank.copy()
    single[1:] &= ~blank[:-1]
    single[:-1] &= ~blank[1:]
    lengths = np.fromiter(map(len, stripped), np.int64, len(stripped))
    begins = np.cumsum(lengths + 1) - lengths - 1
    printable = (characters >= _BLANK) & (characters <= _LAST_PRINTABLE)
    plain = np.logical_and.reduceat(printable, begins) & (lengths > 0)
    words: NDArray[np.int64] = np.where(plain, np.add.reduceat(single, begins, dtype=np.int64) + 1, 0)
    return words
