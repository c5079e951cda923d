"""Makes a file of records from documents; a bi-encoder's similarities determine the verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.output import write_whole
from contract.reading import reading_key
from contract.records import Record, write_records
from retrieval.bm25 import Bm25
from synth.errors import BadInput
from synth.methods.distil.chunks import chunks
from synth.methods.distil.pairing import DEPTH, pairing
from synth.methods.distil.queries import query_from
from synth.run.draws import draw
from synth.scratch import digest
from synth.sources.first_stages import vector_index
from synth.sources.labels import Labels

if TYPE_CHECKING:  # takes seconds to import
    from retrieval.bi_encoder import VectorIndex

EVEN = 0.55  # cosine at which a passage is as likely relevant as not
STEEPNESS = 12.0  # change of the log-odds per unit of cosine
_QUERIES_AT_ONCE = 512
_NEAREST = 10  # of the bi-encoder's hits: enough that one remains without those that share words


@dataclass(slots=True)
class DistilReport:
    """Counts of a run. `without_passage`: documents without a passage of whole sentences of the right length."""

    documents: int = 0
    without_passage: int = 0
    passages: int = 0
    queries: int = 0
    records: int = 0
    relevant: int = 0


@dataclass(frozen=True, slots=True)
class _Made:
    """A query and the index of its source passage."""

    id: str
    text: str
    own: int


def distil(
    documents: Iterable[tuple[str, str]],
    out: Path,
    labels: Labels,
    *,
    bi_encoder: str | Path,
    passages: int = 12_000,
    queries: int = 6_000,
    ray: str | None = None,
) -> DistilReport:
    """Writes about six records per query. `documents` are (id, text) pairs. `ray`: the address of a cluster that
    encodes the passages.

    Verdicts are drawn, not thresholded: a passage is relevant with the probability that corresponds to its cosine. So
    the file as a whole expresses degrees of similarity, and a model trained on it learns more than a threshold.
    Passages and index are in memory. The same inputs and model give the same bytes. Raises `BadInput`, `BadSettings`
    and `DiskFull`.
    """
    report = DistilReport()
    texts = _sample(documents, passages, report)
    if not texts:
        raise BadInput(
            f"None of {report.documents} documents has 20 words in sentences of up to 90; give a corpus of prose."
            if report.documents
            else "No document is left to make queries of; look at the corpus, the split and the excluded ids."
        )
    made = _queries(texts, queries)
    if not made:
        raise BadInput("No document holds a sentence that a query can be made of; give a corpus of prose.")
    report.passages, report.queries = len(texts), len(made)
    meaning = vector_index([text for _, text in texts], bi_encoder, ray=ray)
    records = _records(made, texts, labels, meaning, report)
    report.records = write_whole(out, write_records, records)
    return report


def relevance(cosine: float) -> float:
    """The probability of calling a passage with this similarity to the query relevant."""
    return 1 / (1 + math.exp(-STEEPNESS * (cosine - EVEN)))


def _sample(documents: Iterable[tuple[str, str]], count: int, report: DistilReport) -> list[tuple[str, str]]:
    """(id, text) of up to `count` passages in an order determined by their ids, without repeated texts."""
    cut: dict[bytes, tuple[str, str]] = {}
    for document_id, document in documents:
        found = list(chunks(document_id, document))
        report.documents += 1
        report.without_passage += not found
        for number, text in enumerate(found):
            cut[digest(reading_key(text))] = (f"{document_id}/{number}", text)
    return sorted(cut.values(), key=lambda passage: draw(passage[0], "passage"))[:count]


def _queries(texts: Sequence[tuple[str, str]], count: int) -> list[_Made]:
    made: dict[str, _Made] = {}
    for own, (name, text) in enumerate(texts):
        query = query_from(text, name)
        if query is not None:
            made.setdefault(reading_key(query), _Made(name, query, own))
        if len(made) == count:
            break
    return list(made.values())


def _records(
    made: Sequence[_Made],
    texts: Sequence[tuple[str, str]],
    labels: Labels,
    meaning: VectorIndex,
    report: DistilReport,
) -> Iterator[Record]:
    passages = [text for _, text in texts]
    words = Bm25(passages)
    for start in range(0, len(made), _QUERIES_AT_ONCE):
        batch = made[start : start + _QUERIES_AT_ONCE]
        asked = [query.text for query in batch]
        found = zip(words.search(asked, DEPTH), meaning.search(asked, _NEAREST), strict=True)
        pairs = [
            pairing(query.id, query.own, *hits, size=len(passages)) for query, hits in zip(batch, found, strict=True)
        ]
        for query, indexes, cosines in zip(batch, pairs, meaning.similarities(asked, pairs), strict=True):
            for index, cosine in zip(indexes, cosines, strict=True):
                record = _record(query, texts[index], cosine, labels)
                report.relevant += record.relevant
                yield record


def _record(query: _Made, passage: tuple[str, str], cosine: float, labels: Labels) -> Record:
    name, text = passage
    record_id = f"{labels.source}/distilled/{query.id}/{name}"
    return Record(
        id=record_id,
        query=query.text,
        passage=text,
        relevant=draw(record_id, "verdict") < relevance(cosine),
        source=labels.source,
        licence=labels.licence,
        domain=labels.domain,
        difficulty=labels.difficulty,
        intent=labels.intent,
    )
