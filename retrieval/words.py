"""The words of a text in any script: for search, for lengths, and for comparing texts. The only importer of ICU.

Most scripts put blanks between words. Chinese, Japanese, Thai, Lao, Khmer and Burmese do not; for them ICU's
dictionaries find the word boundaries. Texts without such a script and without combining marks are split by `\\w+`
alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import pairwise

import regex  # type: ignore[import-untyped]  # no types
from icu4py.breakers import WordBreaker

from retrieval.sentences import FULL_WIDTH_ENDS

_CJK = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}ー"
_SOUTH_EAST_ASIAN = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_UNSPACED = rf"{_CJK}{_SOUTH_EAST_ASIAN}"

_PLAIN_WORD = re.compile(r"\w+")
_WORD = regex.compile(r"[\w\p{N}]+")  # including the vowel signs that re's \w leaves out
_NOT_PLAIN = regex.compile(rf"[\p{{M}}{_UNSPACED}]")
_HAS_UNSPACED = regex.compile(rf"[{_UNSPACED}]")
_PARTS = regex.compile(rf"[{_CJK}]+|[{_SOUTH_EAST_ASIAN}]+|[^{_UNSPACED}]+")
_CHARACTER = regex.compile(r"\X")  # a character with its combining marks
_IS_CJK = regex.compile(rf"[{_CJK}]")
_CJK_END = regex.compile(rf"[{_CJK}{FULL_WIDTH_ENDS}\u3001\uff0c\uff1b\uff1a\u300d\u300f\uff09]\Z")
_CJK_INNER = "\u3001\uff0c\uff1b\uff1a\u300c\u300d\u300e\u300f\uff08\uff09\u2026"  # commas, colons, brackets, dots
_SOUTH_EAST_ASIAN_ENDS = "\u17d4\u17d5\u17d6\u104a\u104b"  # of Khmer and Burmese
UNSPACED_PUNCTUATION = FULL_WIDTH_ENDS + _CJK_INNER + _SOUTH_EAST_ASIAN_ENDS

_LANGUAGES = (
    (regex.compile(r"[\p{Hiragana}\p{Katakana}]"), frozenset({"ja"})),
    (regex.compile(r"\p{Han}"), frozenset({"zh", "ja"})),
    (regex.compile(r"\p{Thai}"), frozenset({"th"})),
    (regex.compile(r"\p{Lao}"), frozenset({"lo"})),
    (regex.compile(r"\p{Khmer}"), frozenset({"km"})),
    (regex.compile(r"\p{Myanmar}"), frozenset({"my"})),
)


def rules() -> str:
    """How texts are split, recorded in files that depend on it: an index built under other rules gives other scores."""
    return f"ICU words, pairs of characters in scripts without blanks; icu4py {version('icu4py')}"


def words(text: str) -> list[str]:
    """The words in order, without punctuation: `how, is, 寿司, made` for "how is 寿司 made?"."""
    if not _NOT_PLAIN.search(text):
        return _PLAIN_WORD.findall(text)
    found: list[str] = []
    for word in _WORD.findall(unicodedata.normalize("NFC", text)):
        for part in _PARTS.findall(word):
            found += _segments(part) if _HAS_UNSPACED.match(part) else [part]
    return found


def search_terms(text: str) -> list[str]:
    """The terms of a text for an index: lower-case words of two letters or more.

    For Chinese and Japanese, each character and each pair of neighbours, so that query and document need not be
    segmented in the same way. For longer words of Thai, Lao, Khmer and Burmese also their pairs of characters, because
    ICU takes a compound for one word.
    """
    text = text.lower()
    if not _NOT_PLAIN.search(text):
        return [word for word in _PLAIN_WORD.findall(text) if len(word) > 1]
    terms: list[str] = []
    for word in _WORD.findall(unicodedata.normalize("NFC", text)):
        for part in _PARTS.findall(word):
            if _IS_CJK.match(part):
                terms += [*part, *(part[place : place + 2] for place in range(len(part) - 1))]
            elif _HAS_UNSPACED.match(part):
                terms += (term for word in _segments(part) for term in (word, *_pairs(word)))
            elif len(part) > 1:
                terms.append(part)
    return terms


def split_words(text: str) -> list[str]:
    """Like `str.split`, but also splits words of scripts without blanks."""
    if not _HAS_UNSPACED.search(text):
        return text.split()
    found: list[str] = []
    for piece in text.split():
        for part in _PARTS.findall(piece):
            found += _segments(part) if _HAS_UNSPACED.match(part) else [part]
    return found


def count_words(text: str) -> int:
    """The length of a text in words: parts between blanks, and each word of scripts without blanks."""
    if not _HAS_UNSPACED.search(text):
        return len(text.split())
    return sum(len(words(piece)) if _HAS_UNSPACED.search(piece) else 1 for piece in text.split())


def cut_text(text: str, characters: int) -> str:
    """Truncates the text at the end of a word before `characters`; a longer first word is itself cut."""
    if len(text) <= characters:
        return text
    head = text[: characters + 1]
    if head[-1].isspace():
        return head.rstrip()
    pieces = head.rsplit(None, 1)
    if not _HAS_UNSPACED.search(pieces[-1]):
        return pieces[0] if len(pieces) == 2 else head[:characters]
    end = len(head) - len((_segments(pieces[-1]) or [""])[-1])
    return head[:end].rstrip() or head[:characters]


def join_words(parts: Iterable[str]) -> str:
    """Joins words into a text: with a blank between two of them unless both are of scripts without blanks."""
    text = ""
    for part in parts:
        joined = text and _HAS_UNSPACED.match(text[-1]) and _HAS_UNSPACED.match(part)
        text += part if not text or joined else f" {part}"
    return text


def join_sentences(sentences: Iterable[str]) -> str:
    """Joins sentences into a text: with a blank between them, but none after Chinese and Japanese."""
    text = ""
    for sentence in sentences:
        text += sentence if not text or _CJK_END.search(text) else f" {sentence}"
    return text


def is_unspaced(text: str) -> bool:
    """Whether most letters of a text are of a script without blanks."""
    letters = sum(map(str.isalpha, text))
    return 2 * len(_HAS_UNSPACED.findall(text)) > letters > 0


def languages_by_script(text: str) -> frozenset[str] | None:
    """The languages (ISO 639-1) that a text can be in according to its script; None when that says little, because no
    or few letters are of a script without blanks."""
    if not is_unspaced(text):
        return None
    return next((languages for script, languages in _LANGUAGES if script.search(text)), None)


def _pairs(word: str) -> Iterator[str]:
    """The pairs of neighbouring characters, with their marks, of a word of three or more."""
    characters: list[str] = _CHARACTER.findall(word)
    return map("".join, pairwise(characters)) if len(characters) > 2 else iter(())


def _segments(run: str) -> list[str]:
    return list(WordBreaker(run, "en"))
