"""The words of a trace: what is asked, the quotation, whether that answers, and the verdict.

Openings vary by the record's id, never by its label. The decision is one word, `answers` or `does`, in one wording for
each side (decision 9): with several wordings for one of them greedy decoding would prefer the other.
"""

from __future__ import annotations

import re
from enum import Enum

from contract.evidence import QUOTE
from recipes.limrank_mini.general.sentences import count_words, normal
from retrieval.sentences import split_sentences
from synth.run.draws import choose

MOST_ASKED = 20  # words of the query that are repeated
_ASKS = re.compile(
    r"(?:what|which|who|whom|whose|when|where|why|how|is|are|was|were|am|do|does|did|can|could|should|would|will|may|has|"
    r"have|had)\b",
    re.I,
)
_MARK = re.compile(r"[?\uff1f\u061f\u037e]")
_ENDED = re.compile(r"[.!?\u3002\uff01\uff1f\u0964\u061f]$")
_QUOTES = ("The passage says: ", "Closest to that: ", "The closest sentence: ")


class Kind(Enum):
    """What a query is, and how a trace begins."""

    QUESTION = ("The query asks: ", "Asked: ", "The question: ")
    SEARCH = ("The search is for: ", "Searched: ", "Looked for: ")
    STATEMENT = ("The query states: ", "Stated: ", "The claim: ")
    TEXT = ("The query is a text that says: ", "A text that says: ", "The text says: ")


def kind_of(query: str, record_id: str) -> Kind:
    """The kind of a query, from its id's first part and its words."""
    made = record_id.split("/", 1)[0]
    if made == "long":
        return Kind.TEXT
    if made == "claim":
        return Kind.STATEMENT
    return Kind.QUESTION if _MARK.search(query) or _ASKS.match(query) or not query.isascii() else Kind.SEARCH


def trace(
    record_id: str, query: str, said: str, quotation: str, *, reason: str | None, kind: Kind, instructed: bool
) -> str:
    """The whole trace. `said` is what it repeats of the query (`asked`); `reason` says why the quotation does not
    answer, None: it does."""
    mark = "" if _ENDED.search(said) else " ..." if _goes_on(query, said) else "?" if kind is Kind.QUESTION else "."
    end = "" if _ENDED.search(quotation) else "."
    opening = f"{choose(kind.value, record_id, 'asked')}{said}{mark}"
    quoted = f"{choose(_QUOTES, record_id, 'quoted')}{QUOTE}{quotation}{QUOTE}{end}"
    return f"{opening} {quoted} {_verdict(reason, kind, instructed)}"


def asked(query: str, quotation: str) -> str:
    """What is asked in the query's own words: all of a short query, of a longer one its question, or the sentence that
    shares most words with the quotation, cut to whole words. A literal stretch without double quotes."""
    if count_words(query) <= MOST_ASKED and QUOTE not in query:
        return _bare(query)
    parts = [part.strip() for part in split_sentences(query) if count_words(part) > 1] or [query]
    questions = [part for part in parts if _MARK.search(part)]
    words = set(normal(quotation).split())
    best = max(questions or parts, key=lambda part: len({w for w in normal(part).split() if len(w) > 3} & words))
    clean = max(best.split(QUOTE), key=len).strip()
    return _bare(" ".join(clean.split()[:MOST_ASKED]))


def _goes_on(query: str, said: str) -> bool:
    """Whether the sentence of the query goes on behind the words that are repeated."""
    _, _, rest = " ".join(query.split()).partition(said)
    return rest.startswith(" ") and rest.strip() != ""


def _bare(text: str) -> str:
    """The text with single blanks, without list marks before it and without commas and the like behind it."""
    return " ".join(text.split()).lstrip("-*\u2022 ").rstrip(" ,;:-(")


def _verdict(reason: str | None, kind: Kind, instructed: bool) -> str:
    if instructed:
        does, does_not = "That meets the instruction", "That does not meet the instruction"
    elif kind in (Kind.TEXT, Kind.STATEMENT):
        does, does_not = "That fits it", "That does not fit it"
    else:
        does, does_not = "That answers it", "That does not answer it"
    if reason is None:
        return f"{does}, so the passage is relevant."
    return f"{does_not}: {reason}, so the passage is not relevant."
