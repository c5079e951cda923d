"""Why a passage does not answer, as far as its words and its label bear it out, in words that can be looked up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from contract.records import NegativeType

TOUCHES = "the passage at most touches on that"
PRAISES = "a text that praises itself or repeats the query says nothing by that"
ELSE = "the passage says something else"
_RARE = 0.02  # share of the passages that hold a word that tells something
_LONG = 7  # letters of a word of another language that surely tells something
_NAME = re.compile(r"[A-Z][\w'\u2019.-]*(?: [A-Z][\w'\u2019.-]*)+")
_FIELD = re.compile(r"(?:\s+in (?:the )?[a-z]+(?: [a-z]+)?|\s*\([^()]*\))\s*[?.]?$")
_WORD = re.compile(r"[^\W_]+(?:[-'\u2019.][^\W_]+)*")
_LITTLE_WORDS = (
    "a about after all also although am an and any are as at be because been before being between both but by "
    "called can could define definition describe did do does doing during each else ever example examples explain "
    "few first for from furthermore get give had has have having he her here him his how however i if in instead "
    "into is it its just kind kinds last like list made main make many may me mean means meant might more "
    "moreover most much must my name names new no nor not of off often on once one only or other our out over own "
    "part parts please role same say search she should so some such tell term than that the their them then there "
    "therefore these they this those through thus to too type types under until up us use used usually very was "
    "way we were what when where which while who whom whose why will with word would year you your"
)
_LITTLE = frozenset(_LITTLE_WORDS.split())


class Reasons:
    """Knows how many passages hold each word, so that a rare one tells more."""

    def __init__(self, passages: Iterable[str]) -> None:
        self._held: Counter[str] = Counter()
        self._count = 0
        for passage in passages:
            self._count += 1
            self._held.update(_stems(passage))

    def why(self, asked: str, passage: str, label: NegativeType | None, *, foreign: bool = False) -> str:
        """A clause for `That does not answer it: ...`. Names what the passage lacks of the words that the trace
        repeats, else the subject that it shares with them. Of `foreign` queries only long words are named, because
        little ones are known in English alone."""
        if label is NegativeType.PARTIAL:
            return TOUCHES
        found = _stems(passage)
        telling = [word for word in self._telling(asked) if not foreign or len(word) >= _LONG]
        missing = [word for word in telling if not _held(word, found)]
        if missing:
            return f"the passage never mentions {_name(missing[0], asked)}"
        shared = [name for word in telling if (name := _shared(word, asked, passage)) is not None]
        return ELSE if not shared else f"the passage mentions {shared[0]}, but tells something else"

    def _telling(self, asked: str) -> list[str]:
        """Rare words as they stand in the query: names first, then the rarest. The field that a question names at its
        end (`in anatomy`) tells nothing."""
        words = list(dict.fromkeys(_WORD.findall(_FIELD.sub("", asked))))
        rare = [word for word in words if word.casefold() not in _LITTLE and self._share(word) < _RARE]
        return sorted(
            rare,
            key=lambda word: (word not in words[1:] or not word[0].isupper(), self._share(word), words.index(word)),
        )

    def _share(self, word: str) -> float:
        if len(word) < 3 and not word.isdigit():
            return 1.0
        return self._held[_stem(word)] / max(1, self._count)


def _name(word: str, asked: str) -> str:
    """The word with the words in capitals around it: `Simon Nash`. A possessive ending is left out."""
    if word[0].isupper():
        for run in _NAME.findall(asked):
            parts = run.split()
            if parts[0].casefold() in _LITTLE:
                parts = parts[1:]
            if word in parts:
                word = " ".join(parts)
                break
    return re.sub(r"['\u2019]s$", "", word)


def _shared(word: str, asked: str, passage: str) -> str | None:
    """The name or the word, whichever the passage holds literally but for case."""
    return next((form for form in (_name(word, asked), word) if form.casefold() in passage.casefold()), None)


def _stems(text: str) -> set[str]:
    return {stem for word in _WORD.findall(text) for stem in (_stem(word), *map(_stem, re.split(r"[-'\u2019.]", word)))}


def _held(word: str, stems: set[str]) -> bool:
    """Whether the word, or one that begins or is begun by it, is among those of the passage."""
    stem = _stem(word)
    return stem in stems or (
        len(stem) > 3 and any(len(one) > 3 and (one.startswith(stem) or stem.startswith(one)) for one in stems)
    )


def _stem(word: str) -> str:
    """A word without case and the commonest English endings: enough to find it again in another form."""
    small = word.casefold()
    for ending in ("ations", "ation", "ings", "ing", "ies", "ied", "ers", "es", "ed", "er", "ly", "al", "s", "e", "y"):
        if small.endswith(ending) and len(small) - len(ending) >= 4:
            return small.removesuffix(ending)
    return small
