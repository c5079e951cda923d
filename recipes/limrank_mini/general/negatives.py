"""Hard negatives of a query from two first stages' candidates, without those that may be answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from recipes.limrank_mini.general.sentences import holds
from recipes.limrank_mini.general.sources import GeneralData, Question
from recipes.limrank_mini.general.vectors import Vectors

NEAR_POSITIVE = 0.85  # a candidate with this cosine to a relevant passage says the same
ABOVE_POSITIVE = 0.10  # how far a candidate's cosine to the query may exceed that of the relevant passage


@dataclass(frozen=True, slots=True)
class Judge:
    """Decides which candidates of a question can serve as negatives; `refused` counts the others by reason."""

    data: GeneralData
    vectors: Vectors
    refused: Counter[str]

    def negatives(self, question: Question, vector: Vectors, candidates: Sequence[int]) -> list[int]:
        """The candidates that can serve, in order. `vector` is the query's, of shape (dimensions,)."""
        positives = list(question.positives)
        to_query = self.vectors[list(candidates)] @ vector
        to_positive = (self.vectors[list(candidates)] @ self.vectors[positives].T).max(axis=1)
        ceiling = float((self.vectors[positives] @ vector).max()) + ABOVE_POSITIVE
        documents = {self.data.passages[place].doc for place in positives}
        texts = {self.data.passages[place].body for place in positives}
        kept: list[int] = []
        for place, query_cosine, positive_cosine in zip(candidates, to_query, to_positive, strict=True):
            passage = self.data.passages[place]
            reason = (
                "relevant in this split"
                if place in question.positives
                else "held out"
                if place in self.data.barred
                else "same document"
                if passage.doc in documents
                else "same text"
                if passage.body in texts
                else "near the relevant passage"
                if positive_cosine > NEAR_POSITIVE
                else "nearer to the query than the relevant passage"
                if query_cosine > ceiling
                else "holds the answer or evidence"
                if answers(question, passage.text)
                else ""
            )
            if reason:
                self.refused[reason] += 1
            else:
                kept.append(place)
        return kept


def answers(question: Question, text: str) -> bool:
    """Whether a text contains the answer string or the evidence. Yes and no occur everywhere and are ignored."""
    for part in (question.answer, question.evidence):
        if part is not None and part.casefold().strip() not in {"yes", "no", "maybe"} and holds(text, part):
            return True
    return False


def in_turn(first: Sequence[int], second: Sequence[int], count: int) -> list[int]:
    """Up to `count` indices, alternating between the two lists from their best down, without duplicates."""
    taken: dict[int, None] = {}
    for pair in zip_longest(first, second):
        for place in pair:
            if place is not None and len(taken) < count:
                taken.setdefault(place)
    return list(taken)


def nearest(queries: Vectors, passages: Vectors, depth: int) -> list[list[int]]:
    """For each query the indices of its `depth` nearest passages, nearest first. Ties go to the lower index."""
    depth = min(depth, len(passages))
    found: list[list[int]] = []
    for start in range(0, len(queries), 1024):
        cosines = queries[start : start + 1024] @ passages.T
        best = np.argpartition(-cosines, depth - 1, axis=1)[:, :depth]
        for row, places in zip(cosines, best, strict=True):
            found.append(sorted((int(place) for place in places), key=lambda place: (-float(row[place]), place)))
    return found
