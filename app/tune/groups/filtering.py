"""Groups to train on, of labelled candidates: what may be an answer that nobody knows of is no negative."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.tune.documents.passages import Passage
from app.tune.groups.candidates import Found, Vectors
from app.tune.groups.labels import Labelled
from app.tune.queries.made import WORDS, Query
from contract.reading import reading_key
from contract.records import NegativeType
from contract.scored_groups import ScoredGroup
from retrieval.retriever import Hit
from synth.run.draws import choose, draw
from synth.sources.hard_negatives import mine_negatives

NEGATIVES = 5
NEAR_ANSWER = 0.85  # cosine to an answer from which a passage is taken to say the same
CEILING = 1.15  # times the answer's cosine to the query: what is nearer than that may answer too
_MINED = 14  # negatives, of which the first two are taken and others drawn
ANSWERS, PASSED_BY = 8, 3  # grades of a language model: from 8 on a passage answers, up to 3 it does not


def group_id(query: Query) -> str:
    """The id of the group that a query gives."""
    return f"tune/{query.id}"


@dataclass(frozen=True, slots=True)
class Filter:
    """Makes groups of one corpus. `refused` counts queries and candidates by reason."""

    passages: Sequence[Passage]
    vectors: Vectors
    licence: str
    refused: Counter[str]

    def from_cosines(self, query: Query, labelled: Labelled, found: Found) -> Iterator[ScoredGroup]:
        """A group with an answer and hard negatives, or for a query that nobody judged a list of scored passages."""
        scores = dict(zip(labelled.passages, labelled.scores, strict=True))
        if not labelled.answers:
            yield from self._group(query, list(labelled.passages), None, scores)
            return
        stages = {hit.index for hits in (found.bm25, found.bi_encoder) for hit in hits}
        if query.kind == WORDS and stages.isdisjoint(labelled.answers):
            self.refused["the query does not find its own passage"] += 1
            return
        answer = choose(labelled.answers, query.id, "answer")
        barred = self._barred(labelled.answers, [index for index in labelled.passages if index not in labelled.answers])
        known = {hit.index for hit in found.bi_encoder}
        own = [Hit(index, scores[index]) for index in labelled.answers if index not in known]  # for the ceiling
        mined = mine_negatives(
            {NegativeType.BM25: found.bm25, NegativeType.BI_ENCODER: (*found.bi_encoder, *own)},
            labelled.answers,
            _MINED,
            barred=barred,
            ceiling=CEILING,
        )
        places = [negative.index for negative in mined]
        behind = sorted(places[2:], key=lambda place: draw(query.id, "negative", str(place)))
        yield from self._group(query, [answer, *places[:2], *behind[: NEGATIVES - 2]], answer, scores)

    def from_grades(self, query: Query, labelled: Labelled) -> Iterator[ScoredGroup]:
        """A group with the best of the passages that answer, without the others of them; where none does, or all do, a
        list of scored passages. The grades stay as they are."""
        scores = dict(zip(labelled.passages, labelled.scores, strict=True))
        ranked = sorted(scores, key=lambda index: (-scores[index], index))
        if len({scores[index] for index in ranked}) < 2:
            self.refused["all its passages have one grade"] += 1
            return
        answers = [index for index in ranked if scores[index] >= ANSWERS]
        others = [index for index in ranked if scores[index] < ANSWERS]
        if answers and any(scores[index] <= PASSED_BY for index in others):
            yield from self._group(query, [answers[0], *others], answers[0], scores)
        else:
            yield from self._group(query, ranked, None, scores)

    def _group(
        self, query: Query, places: Sequence[int], answer: int | None, scores: Mapping[int, float]
    ) -> Iterator[ScoredGroup]:
        kept = self._apart(query, places)
        if len(kept) < 2 or (answer is not None and answer not in kept):
            self.refused["too few other passages"] += 1
            return
        yield ScoredGroup(
            id=group_id(query),
            query=query.text,
            passages=tuple(self.passages[index].text for index in kept),
            positive=None if answer is None else kept.index(answer),
            teacher=tuple(float(scores[index]) for index in kept),
            source="documents",
            licence=self.licence,
            domain="documents",
        )

    def _apart(self, query: Query, places: Sequence[int]) -> list[int]:
        """The passages that read differently from each other and from the query."""
        seen = {reading_key(query.text)}
        kept = []
        for index in places:
            if (key := reading_key(self.passages[index].text)) not in seen:
                seen.add(key)
                kept.append(index)
        return kept

    def _barred(self, answers: Sequence[int], others: Sequence[int]) -> list[int]:
        """Those of `others` that may answer too: of the answer's section or one below it, or near an answer."""
        sections = [(self.passages[index].document, self.passages[index].headings) for index in answers]
        cosines = (self.vectors[list(others)] @ self.vectors[list(answers)].T).max(axis=1) if others else ()
        barred = []
        for index, cosine in zip(others, cosines, strict=True):
            passage = self.passages[index]
            below = any(
                passage.document == document and passage.headings[: len(headings)] == headings
                for document, headings in sections
            )
            if below or float(cosine) > NEAR_ANSWER:
                self.refused["of the answer's section" if below else "near the answer"] += 1
                barred.append(index)
        return barred
