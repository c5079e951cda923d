"""Groups of labelled queries: the relevant passage against hard negatives of BM25 and of the bi-encoder.

A share of the groups is short: each passage is reduced to the sentence that matters, because users also rank single
sentences. When both first stages already rank the relevant passage first, a query teaches little, so only a share of
such queries is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recipes.limrank_mini.general.drafts import LONGEST, SHORTEST, Draft, spdx
from recipes.limrank_mini.general.negatives import Judge, answers, in_turn
from recipes.limrank_mini.general.sentences import closest, count_words, cut, extended, place_of, sentences
from recipes.limrank_mini.general.sources import GeneralData, Question
from recipes.limrank_mini.general.vectors import Vectors
from synth.run.draws import draw

EASY_KEPT = 0.4
SHORT_SHARE = 0.2
HARD = 4  # negatives from the top of both first stages
FARTHER = 1  # negatives from lower ranks of the bi-encoder
_FARTHER_FROM = 15
_SHORT_WORDS = (10, 40)


@dataclass(frozen=True, slots=True)
class Found:
    """The results of both first stages for a question, best first, and the query's vector."""

    bm25: Sequence[int]
    near: Sequence[int]
    vector: Vectors


def labelled_group(question: Question, found: Found, data: GeneralData, judge: Judge) -> Draft | None:
    """One group, or None for an easy query that is dropped by the draw, or a query with fewer than two negatives."""
    first = question.positives
    easy = found.bm25[:1] and found.near[:1] and found.bm25[0] in first and found.near[0] in first
    if easy and draw(question.id, "easy") >= EASY_KEPT:
        return None
    places = _negatives(question, found, judge)
    if len(places) < 2:
        return None
    positive = data.passages[first[0]]
    passages = [data.passages[place].text for place in places]
    if draw(question.id, "short") < SHORT_SHARE:
        texts = list(_short(question, positive.body, [data.passages[place].body for place in places]))
    else:
        texts = [cut(text, LONGEST) for text in (positive.text, *passages)]
    distinct = list(dict.fromkeys(text for text in texts if count_words(text) >= 3))
    if len(distinct) < 3 or distinct[0] != texts[0]:
        return None
    used = {spdx(question.licence), spdx(positive.licence), *(spdx(data.passages[place].licence) for place in places)}
    return Draft(
        f"general/{question.id}",
        question.text,
        tuple(distinct),
        True,
        question.source,
        tuple(sorted(used)),
        question.domain,
    )


def _negatives(question: Question, found: Found, judge: Judge) -> list[int]:
    near = judge.negatives(question, found.vector, found.near)
    bm25 = judge.negatives(question, found.vector, found.bm25)
    hard = in_turn(bm25, near, HARD)
    farther = [place for place in near[_FARTHER_FROM:] if place not in hard]
    farther.sort(key=lambda place: draw(question.id, "farther", str(place)))
    return hard + farther[:FARTHER]


def _short(question: Question, positive: str, negatives: Sequence[str]) -> Iterator[str]:
    """The sentence with the evidence, then for each negative its sentence closest to the query, unless that answers
    it."""
    least = SHORTEST + int(draw(question.id, "words") * (_SHORT_WORDS[1] - _SHORT_WORDS[0] + 1))
    place = None if question.evidence is None else place_of(question.evidence, positive)
    if place is None:
        yield cut(closest(question.text, positive, least), LONGEST)
    else:
        yield cut(extended(sentences(positive), place, least), LONGEST)
    for text in negatives:
        short = closest(question.text, text, least)
        if not answers(question, short):
            yield cut(short, LONGEST)
