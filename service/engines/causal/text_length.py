"""The fewest tokens that a text can come to, told from its characters in microseconds.

A call of ten thousand passages that cannot be scored in time is then refused before it is encoded, which takes about a
second.
"""

from __future__ import annotations

import string

from contract.formats.tokenizer import Tokenizer

_LOOKED_AT = 1024  # characters, so that ten thousand long texts take no longer than a blink of the event loop
_CHARACTERS = "".join(sorted(set(string.printable) - set(string.whitespace)))


class FewestTokens:
    """Never more than the tokenizer makes of the text alone. Thread-safe."""

    def __init__(self, tokenizer: Tokenizer, longest: int | None = None) -> None:
        """`longest`: the most characters that one token can stand for; None: any number."""
        self._longest = longest
        self._by_words = reads_words_apart(tokenizer)

    def __call__(self, text: str) -> int:
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


def _single_blanks(text: str) -> int:
    """No more than there are single blanks; all but those at the ends stand between two words."""
    return text.count(" ") - 2 * text.count("  ")
