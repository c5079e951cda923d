"""Queries derived from passages: long ones (several sentences split off) and claims (the sentence with the
evidence)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from recipes.limrank_mini.general.sentences import count_words, holds, sentences
from recipes.limrank_mini.general.sources import GeneralData, Passage, Question
from synth.run.draws import draw

SHORTEST_QUERY, LONGEST_QUERY = 40, 200  # words of a long query
LEAST_LEFT = 25  # words that must remain as the passage
TRANSLATED = "multilingual"  # the domain of xquad-other
_CLAIM_KEPT_IN = 0.4  # share of the claims whose sentence stays in the passage


@dataclass(frozen=True, slots=True)
class Derived:
    """A query and the text that answers it; `doc` is the document of both."""

    id: str
    query: str
    positive: str
    piece: Passage


def usable_pieces(data: GeneralData) -> Iterator[Passage]:
    """Every passage that may be used for training."""
    for place, passage in enumerate(data.passages):
        if place not in data.barred:
            yield passage


def documents(pieces: Sequence[Passage]) -> Iterator[Passage]:
    """Each document's pieces joined in order, so that long queries can be cut from them. Leaves out documents that are
    translations of one another (xquad-other), because they share a name."""
    by_document: dict[tuple[str, str], list[Passage]] = {}
    for piece in pieces:
        if piece.domain != TRANSLATED:
            by_document.setdefault((piece.source, piece.doc), []).append(piece)
    for same in by_document.values():
        first = same[0]
        yield replace(first, body=" ".join(piece.body for piece in same))


def long_query(document: Passage) -> Derived | None:
    """Takes some consecutive sentences as the query and those after or before them as its passage; None for too short a
    text."""
    parts = sentences(document.body)
    wanted = SHORTEST_QUERY + int(draw(document.id, "long") ** 1.5 * (LONGEST_QUERY - SHORTEST_QUERY))
    start = int(draw(document.id, "start") * max(1, len(parts) // 3))
    taken, stop = 0, start
    while stop < len(parts) and taken < wanted:
        taken += count_words(parts[stop])
        stop += 1
    query, rest = " ".join(parts[start:stop]), _some(parts[stop:]) or _some(parts[:start])
    if not SHORTEST_QUERY <= count_words(query) <= LONGEST_QUERY or rest is None:
        return None
    if draw(document.id, "turned") < 0.5 and count_words(rest) >= SHORTEST_QUERY:
        query, rest = rest, query
    return Derived(f"long/{document.source}/{document.id}", query, rest, document)


def claim(question: Question, data: GeneralData) -> Derived | None:
    """Takes the evidence of a question as a statement and its passage as the answer, mostly without that sentence."""
    passage = data.passages[question.positives[0]]
    if question.evidence is None or not 6 <= count_words(question.evidence) <= 60:
        return None
    name = f"claim/{question.source}/{question.id}"
    rest = " ".join(part for part in sentences(passage.body) if not holds(part, question.evidence))
    if draw(question.id, "claim kept") < _CLAIM_KEPT_IN or count_words(rest) < LEAST_LEFT:
        return Derived(name, question.evidence, passage.text, passage)
    return Derived(name, question.evidence, rest, passage)


def _some(parts: Sequence[str]) -> str | None:
    """The first sentences, up to the longest passage; None when they are too few."""
    taken: list[str] = []
    words = 0
    for part in parts:
        words += count_words(part)
        if words > LONGEST_QUERY and taken:
            break
        taken.append(part)
    text = " ".join(taken)
    return text if LEAST_LEFT <= count_words(text) <= 2 * LONGEST_QUERY else None
