"""A BEIR folder as records: the judgements give the labels, BM25 and a bi-encoder mine the hard negatives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.output import write_whole
from contract.records import NegativeType, Record, write_records
from retrieval.beir import BeirFolder, Document, Query
from retrieval.rejects import Rejects
from retrieval.retriever import Hit, Retriever
from synth.sources.first_stages import first_stages
from synth.sources.hard_negatives import mine_negatives
from synth.sources.labels import Labels
from synth.sources.rejects import ImportReport, rejects_beside

QUERIES_AT_ONCE = 512


@dataclass(slots=True)
class _Judged:
    """The judged documents of one query, by their place in the corpus."""

    query: Query
    relevant: list[int] = field(default_factory=list)
    irrelevant: list[int] = field(default_factory=list)


def import_beir(
    folder: Path,
    out: Path,
    labels: Labels,
    *,
    split: str = "train",
    bi_encoder: str | Path | None = None,
    negatives: int = 2,
    depth: int = 100,
    ceiling: float = 0.95,
    least_grade: int = 1,
) -> ImportReport:
    """Write one record for each judged pair with a grade of `least_grade` or more, and `negatives` for each of these.

    Negatives are the documents judged below `least_grade`, then mined ones (`synth.sources.hard_negatives`), `depth`
    deep. Without `bi_encoder` (any id or folder that sentence-transformers reads) BM25 mines alone. Corpus and index
    are in memory. The same inputs give the same bytes. Raises `BadInput`, `BadSettings` and `DiskFull`.
    """
    with rejects_beside(out) as rejects:
        beir = BeirFolder(folder, rejects)
        corpus = list(beir.documents())
        judged = _judged(beir, split, corpus, least_grade, rejects)
        retrievers = first_stages([document.passage for document in corpus], bi_encoder)
        writer = _Writer(corpus, labels, negatives, ceiling)
        written = write_whole(out, write_records, writer.records(judged, retrievers, depth))
        return rejects.report(written, writer.relevant)


def _judged(
    beir: BeirFolder, split: str, corpus: Sequence[Document], least_grade: int, rejects: Rejects
) -> list[_Judged]:
    places = {document.id: place for place, document in enumerate(corpus)}
    queries = {query.id: query for query in beir.queries()}
    judged: dict[str, _Judged] = {}
    for row in beir.judgement_rows(split):
        missing = "query" if row.query not in queries else "document" if row.document not in places else ""
        if missing:
            raw = f"{row.query}\t{row.document}\t{row.grade}"
            rejects.add(row.file, row.row, f"the folder has no such {missing}, or it was rejected.", raw)
            continue
        one = judged.setdefault(row.query, _Judged(queries[row.query]))
        (one.relevant if row.grade >= least_grade else one.irrelevant).append(places[row.document])
    return [one for one in judged.values() if one.relevant]


class _Writer:
    def __init__(self, corpus: Sequence[Document], labels: Labels, negatives: int, ceiling: float) -> None:
        self._corpus = corpus
        self._labels = labels
        self._negatives = negatives
        self._ceiling = ceiling
        self.relevant = 0

    def records(
        self, judged: Sequence[_Judged], retrievers: Mapping[NegativeType, Retriever], depth: int
    ) -> Iterator[Record]:
        for start in range(0, len(judged), QUERIES_AT_ONCE):
            batch = judged[start : start + QUERIES_AT_ONCE]
            texts = [one.query.text for one in batch]
            hits = {kind: retriever.search(texts, depth) for kind, retriever in retrievers.items()}
            for number, one in enumerate(batch):
                yield from self._of_query(one, {kind: rows[number] for kind, rows in hits.items()})

    def _of_query(self, one: _Judged, hits: Mapping[NegativeType, Sequence[Hit]]) -> Iterator[Record]:
        for place in one.relevant:
            self.relevant += 1
            yield self._record(one.query, place, True, None)
        wanted = self._negatives * len(one.relevant)
        for place in one.irrelevant[:wanted]:
            yield self._record(one.query, place, False, None)
        left = max(0, wanted - len(one.irrelevant))
        for mined in mine_negatives(hits, one.relevant, left, barred=one.irrelevant, ceiling=self._ceiling):
            yield self._record(one.query, mined.index, False, mined.found_by)

    def _record(self, query: Query, place: int, relevant: bool, negative_type: NegativeType | None) -> Record:
        document = self._corpus[place]
        return Record(
            id=f"{self._labels.source}/{query.id}/{document.id}",
            query=query.text,
            passage=document.passage,
            relevant=relevant,
            source=self._labels.source,
            licence=self._labels.licence,
            domain=self._labels.domain,
            difficulty=self._labels.difficulty,
            negative_type=negative_type,
            intent=self._labels.intent,
        )
