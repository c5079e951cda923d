"""The general data folder (BEIR layout): what may be used for training, what may not, and the first stage's
candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.beir import BeirFolder
from retrieval.rejects import Refusing
from retrieval.trec import read_run

UNSEEN_SOURCES = frozenset({"clapnq", "login-gov", "basecamp-policies"})
HELD_SPLITS = ("dev", "unseen")


@dataclass(frozen=True, slots=True)
class Passage:
    """`text` is what a reranker reads: title and text. Passages of one document share `doc`."""

    id: str
    text: str
    body: str
    source: str
    licence: str
    domain: str
    doc: str


@dataclass(frozen=True, slots=True)
class Question:
    """A query of the train split. `positives` are indices in `GeneralData.passages`; the first contains the
    evidence."""

    id: str
    text: str
    positives: tuple[int, ...]
    evidence: str | None
    answer: str | None
    source: str
    licence: str
    domain: str


@dataclass(frozen=True, slots=True)
class GeneralData:
    """`barred` are the indices of passages that must not be used for training at all, not even as negatives."""

    passages: tuple[Passage, ...]
    questions: tuple[Question, ...]
    candidates: Mapping[str, tuple[int, ...]]
    barred: frozenset[int]


def read_general(folder: Path) -> GeneralData:
    """Reads corpus, train queries and their BM25 candidates. Raises `BadInput` for a folder with another layout."""
    beir = BeirFolder(folder, Refusing())
    passages = tuple(
        _passage(document.id, document.passage, document.text, document.metadata) for document in beir.documents()
    )
    places = {passage.id: place for place, passage in enumerate(passages)}
    held = {
        places[document]
        for split in HELD_SPLITS
        if split in beir.splits()
        for judged in beir.judgements(split).values()
        for document in judged
        if document in places
    }
    judgements = beir.judgements("train")
    barred = _barred(passages, held)
    questions = []
    for query in beir.queries():
        grades = judgements.get(query.id, {})
        positives = tuple(places[document] for document, grade in grades.items() if grade > 0 and document in places)
        data = query.metadata
        if not positives or barred.intersection(positives) or data.get("source") in UNSEEN_SOURCES:
            continue
        questions.append(
            Question(
                query.id,
                query.text,
                positives,
                data.get("evidence"),
                data.get("answer"),
                str(data.get("source")),
                str(data.get("licence")),
                str(data.get("domain")),
            )
        )
    candidates = _candidates(folder / "candidates_bm25_train.trec", places)
    return GeneralData(passages, tuple(questions), candidates, barred)


def _barred(passages: tuple[Passage, ...], held: set[int]) -> frozenset[int]:
    """Passages of the held-out splits, all that share a document or their text with one, and those of the unseen
    sources."""
    documents = {passages[place].doc for place in held}
    texts = {passages[place].body for place in held}
    return frozenset(
        place
        for place, passage in enumerate(passages)
        if place in held or passage.source in UNSEEN_SOURCES or passage.doc in documents or passage.body in texts
    )


def _passage(passage_id: str, text: str, body: str, data: Mapping[str, Any]) -> Passage:
    return Passage(
        passage_id,
        text,
        body,
        str(data.get("source")),
        str(data.get("licence")),
        str(data.get("domain")),
        str(data.get("doc") or passage_id),
    )


def _candidates(path: Path, places: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    return {
        query: tuple(places[document] for document in ranked if document in places)
        for query, ranked in read_run(path).items()
    }
