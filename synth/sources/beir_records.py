"""A BEIR folder as records: the judgements give the labels, BM25 and a bi-encoder mine the hard negatives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cli.output import write_whole
from contract.records import NegativeType, Record, write_records
from retrieval.beir import BeirFolder, Query
from retrieval.retriever import Hit, Retriever
from synth.errors import BadInput
from synth.sources.first_stages import first_stages
from synth.sources.hard_negatives import MinedNegative, mine_negatives
from synth.sources.judged import Corpus, Judged, read_judged
from synth.sources.labels import Labels
from synth.sources.rejects import ImportReport, rejects_beside

QUERIES_AT_ONCE = 512


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
    """Writes one record per judged pair with a grade of at least `least_grade`, and `negatives` negatives for each of
    these.

    Negatives are the documents judged below `least_grade`, then mined ones (`synth.sources.hard_negatives`) to depth
    `depth`. Copies of one text count as one document (`synth.sources.judged`). Without `bi_encoder` (any id or folder
    that sentence-transformers reads) BM25 mines alone. Corpus and index are in memory. The same inputs give the same
    bytes. Raises `BadInput` (also when no query has an answer), `BadSettings` and `DiskFull`.
    """
    with rejects_beside(out) as rejects:
        beir = BeirFolder(folder, rejects)
        corpus = Corpus(list(beir.documents()))
        judged = read_judged(beir, split, corpus, least_grade, rejects)
        if not judged.queries:
            reason = f" ({rejects.count} rows could not be used; {rejects.sentences[0]})" if rejects.sentences else ""
            raise BadInput(
                f"{folder}: no query of '{split}' has a document judged relevant{reason}; correct the files."
            )
        retrievers = first_stages([document.passage for document in corpus.documents], bi_encoder)
        writer = _Writer(corpus, labels, negatives, depth, ceiling)
        written = write_whole(out, write_records, writer.records(judged.queries, retrievers))
        notes = (*_merged(judged.merged), *writer.without_negatives())
        return rejects.report(written, writer.relevant, notes)


def _merged(count: int) -> Iterator[str]:
    if count:
        yield f"{count} queries read the same as an earlier one and were made one with it."


class _Writer:
    def __init__(self, corpus: Corpus, labels: Labels, negatives: int, depth: int, ceiling: float) -> None:
        self._corpus = corpus
        self._depth = depth
        self._labels = labels
        self._negatives = negatives
        self._ceiling = ceiling
        self._queries = 0
        self._alone = 0  # queries without a negative
        self.relevant = 0

    def records(self, judged: Sequence[Judged], retrievers: Mapping[NegativeType, Retriever]) -> Iterator[Record]:
        """The records of all queries, query by query, positives first."""
        for start in range(0, len(judged), QUERIES_AT_ONCE):
            batch = judged[start : start + QUERIES_AT_ONCE]
            texts = [item.query.text for item in batch]
            hits = {kind: retriever.search(texts, self._depth) for kind, retriever in retrievers.items()}
            for number, item in enumerate(batch):
                yield from self._of_query(item, {kind: rows[number] for kind, rows in hits.items()})

    def without_negatives(self) -> Iterator[str]:
        """A sentence on the queries without negatives, if there are any."""
        if self._alone and self._negatives:
            yield (
                f"{self._alone} of {self._queries} queries got no negative: no other document shares a word with them; "
                "--bi-encoder finds those that share none."
            )

    def _of_query(self, judged: Judged, hits: Mapping[NegativeType, Sequence[Hit]]) -> Iterator[Record]:
        for index in judged.relevant:
            self.relevant += 1
            yield self._record(judged.query, index, True, None)
        wanted = self._negatives * len(judged.relevant)
        kept = judged.irrelevant[:wanted]
        for index in kept:
            yield self._record(judged.query, index, False, None)
        mined = self._mined(judged, hits, wanted - len(kept))
        for negative in mined:
            yield self._record(judged.query, negative.index, False, negative.found_by)
        self._queries += 1
        self._alone += not kept and not mined

    def _mined(self, judged: Judged, hits: Mapping[NegativeType, Sequence[Hit]], count: int) -> list[MinedNegative]:
        """Up to `count` negatives from the hits, without repeated texts."""
        answers = {copy for index in judged.relevant for copy in self._corpus.copies(index)}
        mined = mine_negatives(hits, answers, len(hits) * self._depth, barred=judged.barred, ceiling=self._ceiling)
        once: dict[bytes, MinedNegative] = {}
        for negative in mined:
            once.setdefault(self._corpus.key(negative.index), negative)
        return list(once.values())[:count]

    def _record(self, query: Query, index: int, relevant: bool, negative_type: NegativeType | None) -> Record:
        document = self._corpus.documents[index]
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
