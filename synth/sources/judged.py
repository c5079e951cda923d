"""The judged documents of each query of a BEIR folder, compared by their text.

Queries that read the same are merged under the id of the first. Documents that read the same count as one document: a
judgement as relevant overrides one as irrelevant, and no copy of an answer, nor a document with the query's own id or
text, is a negative (`barred`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from contract.reading import reading_key
from retrieval.beir import BeirFolder, Document, Query
from retrieval.rejects import Rejects
from synth.scratch import digest


@dataclass(slots=True)
class Judged:
    """One query. `relevant` and `irrelevant` are indices of documents in the corpus, without repeated texts; `barred`
    ones must not be used as negatives for it."""

    query: Query
    relevant: list[int] = field(default_factory=list)
    irrelevant: list[int] = field(default_factory=list)
    barred: set[int] = field(default_factory=set)


class Corpus:
    """The documents of a folder in order, accessible by index, by id and by text."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self.documents = documents
        self.by_id = {document.id: index for index, document in enumerate(documents)}
        self._keys = [digest(reading_key(document.passage)) for document in documents]
        self._same: dict[bytes, list[int]] = {}
        self._same_text: dict[bytes, list[int]] = {}
        for index, document in enumerate(documents):
            self._same.setdefault(self._keys[index], []).append(index)
            if document.title:
                self._same_text.setdefault(digest(reading_key(document.text)), []).append(index)

    def key(self, index: int) -> bytes:
        """The key of a document's text as it reads."""
        return self._keys[index]

    def copies(self, index: int) -> list[int]:
        """The documents that read the same as this one, itself included."""
        return self._same[self._keys[index]]

    def own(self, query: Query) -> set[int]:
        """The documents with a query's id, or with its text with or without a title."""
        key = digest(reading_key(query.text))
        found = {*self._same.get(key, ()), *self._same_text.get(key, ())}
        return found | ({self.by_id[query.id]} if query.id in self.by_id else set())


@dataclass(slots=True)
class Judgements:
    """`queries` all have an answer. `merged` counts the queries that read the same as an earlier one."""

    queries: list[Judged]
    merged: int


def read_judged(beir: BeirFolder, split: str, corpus: Corpus, least_grade: int, rejects: Rejects) -> Judgements:
    """The judged queries of one split with an answer of at least `least_grade`, in the order of the judgements."""
    queries = {query.id: query for query in beir.queries()}
    first: dict[str, Judged] = {}
    used: set[str] = set()
    for row in beir.judgement_rows(split):
        missing = "query" if row.query not in queries else "document" if row.document not in corpus.by_id else ""
        if missing:
            raw = f"{row.query}\t{row.document}\t{row.grade}"
            rejects.add(row.file, row.row, f"the folder has no such {missing}, or it was rejected.", raw)
            continue
        query = queries[row.query]
        judged = first.setdefault(reading_key(query.text), Judged(query))
        used.add(query.id)
        (judged.relevant if row.grade >= least_grade else judged.irrelevant).append(corpus.by_id[row.document])
    for judged in first.values():
        _compare(judged, corpus)
    return Judgements([judged for judged in first.values() if judged.relevant], len(used) - len(first))


def _compare(judged: Judged, corpus: Corpus) -> None:
    judged.relevant = _each_text_once(judged.relevant, corpus, set())
    answers = {corpus.key(index) for index in judged.relevant}
    own = corpus.own(judged.query) - set(judged.relevant)
    judged.barred = own.union(*(corpus.copies(index) for index in (*judged.relevant, *judged.irrelevant)))
    irrelevant = [index for index in judged.irrelevant if index not in own]
    judged.irrelevant = _each_text_once(irrelevant, corpus, answers)


def _each_text_once(indexes: Sequence[int], corpus: Corpus, without: set[bytes]) -> list[int]:
    """The first document of each text, without those whose key is in `without`."""
    first: dict[bytes, int] = {}
    for index in indexes:
        first.setdefault(corpus.key(index), index)
    return [index for key, index in first.items() if key not in without]
