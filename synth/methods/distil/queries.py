"""Queries from a passage's own words, like those typed into a search box (an inverse cloze task, Lee et al. 2019, arXiv
1906.00300). They need not make sense: the bi-encoder scores the similarity of a passage to them."""

from __future__ import annotations

import re

from retrieval.words import UNSPACED_PUNCTUATION, is_unspaced, join_words, split_words
from synth.run.draws import choose, draw

OPENINGS = (
    *("what is", "what are", "what does", "what causes", "what happens when", "how to", "how do you", "how long does"),
    *("how much", "how many", "why is", "why do", "who", "where is", "when does", "which", "can", "does", "is"),
    *("difference between", "define", "meaning of", "types of", "cost of"),
)
OPENED = 0.6  # share of the queries that begin with one of these
FEWEST, MOST = 2, 7  # words taken from a clause
_CLAUSE_END = re.compile(r"[.!?;:,()\[\]\"]+(?:\s|$)|\s-\s|\s[(\[\"]" + f"|[{UNSPACED_PUNCTUATION}]+")
_EDGES = " ,;:()?.\"'"
_TELLING = 5  # letters of a specific word
_TELLING_UNSPACED = 2  # the same in scripts without blanks
_LITTLE_WORDS = (
    "a an the of in on at to for by with from as and or but nor that which who whose this these those it its is are "
    "was were be been being has have had may can could will would should do does did not no so than then also such any "
    "some other there their they them you your he his she her we our i if when while because into about over under "
    "between after before during more most"
)
_FUNCTION_WORDS = frozenset(_LITTLE_WORDS.split())


def query_from(passage: str, key: str) -> str | None:
    """Some words of one clause, mostly after the opening of a question; None when no drawn word is specific. The same
    `key` always draws the same. Openings are English, so scripts without blanks get none."""
    clauses = [words for clause in _CLAUSE_END.split(passage) if len(words := split_words(clause)) > FEWEST]
    if not clauses:
        return None
    clause = choose(clauses, key, "clause")
    count = FEWEST + int(draw(key, "count") * (MOST - FEWEST + 1))
    start = int(draw(key, "start") * (max(0, len(clause) - count) + 1))
    taken = [stripped for word in clause[start : start + count] if (stripped := word.lower().strip(_EDGES))]
    while taken and taken[0] in _FUNCTION_WORDS:
        taken.pop(0)
    while taken and taken[-1] in _FUNCTION_WORDS:
        taken.pop()
    if not any(map(_tells, taken)):
        return None
    opened = draw(key, "opened") < OPENED and not is_unspaced("".join(taken))
    return join_words([*([choose(OPENINGS, key, "opening")] if opened else []), *taken])


def _tells(word: str) -> bool:
    return sum(map(str.isalpha, word)) >= (_TELLING_UNSPACED if is_unspaced(word) else _TELLING)
