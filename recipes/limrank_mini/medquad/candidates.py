"""For each question, the passages that the first stages rank high, grouped by their relation to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from contract.records import NegativeType
from recipes.limrank_mini.medquad.questions import Answer, Question
from recipes.limrank_mini.medquad.relation import Relation, relation, same_focus
from retrieval.retriever import Hit, Retriever

QUESTIONS_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that does not answer. `place` is its index among the answers, `found_by` the first stage that found
    it."""

    place: int
    answer: Answer
    found_by: NegativeType


@dataclass(slots=True)
class Candidates:
    """The candidates of one question by relation, best rank first, and its sound answers."""

    question: Question
    positives: list[tuple[int, Answer]]
    by_relation: dict[Relation, list[Candidate]] = field(default_factory=lambda: {kind: [] for kind in Relation})

    def of(self, kind: Relation) -> list[Candidate]:
        return self.by_relation[kind]


def candidates(
    questions: Sequence[Question],
    answers: Sequence[Answer],
    retrievers: Mapping[NegativeType, Retriever],
    depth: int,
    left_out: Counter[str],
) -> Iterator[Candidates]:
    """One `Candidates` per question with a sound answer; `left_out` counts the others.

    `retrievers` index the texts of `answers` in order. Each question is searched with its own words to depth `depth`. A
    passage found twice is attributed to the first stage that found it first.
    """
    for start in range(0, len(questions), QUESTIONS_AT_ONCE):
        batch = questions[start : start + QUESTIONS_AT_ONCE]
        texts = [question.text for question in batch]
        hits = {kind: retriever.search(texts, depth) for kind, retriever in retrievers.items()}
        for number, question in enumerate(batch):
            found = _sorted(question, answers, {kind: rows[number] for kind, rows in hits.items()})
            if found.positives:
                yield found
            else:
                left_out["question without an answer whose words bear out its label"] += 1


def _sorted(question: Question, answers: Sequence[Answer], hits: Mapping[NegativeType, Sequence[Hit]]) -> Candidates:
    positives = [(place, answers[place]) for place in question.answered_by]
    sound = [(place, answer) for place, answer in positives if _sound(question, answer)]
    found = Candidates(question, sound)
    seen = set(question.answered_by)
    for place, kind in _in_turn(hits):
        if place not in seen:
            seen.add(place)
            found.of(relation(question, answers[place])).append(Candidate(place, answers[place], kind))
    return found


def _in_turn(hits: Mapping[NegativeType, Sequence[Hit]]) -> Iterator[tuple[int, NegativeType]]:
    """The first stages' best hits, then their second best, and so on."""
    for turn in zip_longest(*([(hit.index, kind) for hit in rows] for kind, rows in hits.items())):
        yield from (found for found in turn if found is not None)


def _sound(question: Question, answer: Answer) -> bool:
    return answer.borne_out and answer.aspect == question.aspect and same_focus(question, answer)
