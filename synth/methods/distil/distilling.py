"""Documents in, a file of records out whose verdicts a bi-encoder's similarities decide."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.output import write_whole
from contract.records import Record, write_records
from retrieval.bm25 import Bm25
from synth.errors import BadInput
from synth.methods.distil.chunks import chunks
from synth.methods.distil.pairing import DEPTH, pairing
from synth.methods.distil.queries import query_from
from synth.run.draws import draw
from synth.sources.first_stages import vector_index
from synth.sources.labels import Labels

EVEN = 0.55  # cosine at which a passage is as often relevant as not
STEEPNESS = 12.0  # change of the log-odds with the cosine
_QUERIES_AT_ONCE = 512
_NEAREST = 10  # of the bi-encoder's hits: enough that one is left when those that share words are taken out


@dataclass(slots=True)
class DistilReport:
    """What came out."""

    passages: int = 0
    queries: int = 0
    records: int = 0
    relevant: int = 0


@dataclass(frozen=True, slots=True)
class _Made:
    """A query and the index of the passage that it was made of."""

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
) -> DistilReport:
    """Write about six records for each query. `documents` are pairs of id and text.

    Verdicts are drawn, not cut: a passage is relevant with the probability that its cosine stands for, so that the file
    as a whole says how near passages are and a model trained on it learns more than a threshold. Passages and index are
    in memory. The same inputs and model give the same bytes. Raises `BadInput`, `BadSettings` and `DiskFull`.
    """
    texts = _sample(documents, passages)
    if not texts:
        raise BadInput("No document is left to make queries of; look at the corpus, the split and the excluded ids.")
    made = _queries(texts, queries)
    if not made:
        raise BadInput("No document holds a sentence that a query can be made of; give a corpus of prose.")
    report = DistilReport(len(texts), len(made))
    records = _records(made, texts, labels, bi_encoder, report)
    report.records = write_whole(out, write_records, records)
    return report


def relevance(cosine: float) -> float:
    """The probability that a passage of this similarity to the query is called relevant."""
    return 1 / (1 + math.exp(-STEEPNESS * (cosine - EVEN)))


def _sample(documents: Iterable[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    """(id, text) of as many passages, in an order of their own, no text twice."""
    cut = {
        text: f"{document_id}/{number}"
        for document_id, document in documents
        for number, text in enumerate(chunks(document_id, document))
    }
    return sorted(((name, text) for text, name in cut.items()), key=lambda one: draw(one[0], "passage"))[:count]


def _queries(texts: Sequence[tuple[str, str]], count: int) -> list[_Made]:
    made: list[_Made] = []
    for own, (name, text) in enumerate(texts):
        query = query_from(text, name)
        if query is not None:
            made.append(_Made(name, query, own))
        if len(made) == count:
            break
    return made


def _records(
    made: Sequence[_Made],
    texts: Sequence[tuple[str, str]],
    labels: Labels,
    bi_encoder: str | Path,
    report: DistilReport,
) -> Iterator[Record]:
    passages = [text for _, text in texts]
    words, meaning = Bm25(passages), vector_index(passages, bi_encoder)
    for start in range(0, len(made), _QUERIES_AT_ONCE):
        batch = made[start : start + _QUERIES_AT_ONCE]
        asked = [one.text for one in batch]
        found = zip(words.search(asked, DEPTH), meaning.search(asked, _NEAREST), strict=True)
        pairs = [pairing(one.id, one.own, *hits, size=len(passages)) for one, hits in zip(batch, found, strict=True)]
        for one, indexes, cosines in zip(batch, pairs, meaning.similarities(asked, pairs), strict=True):
            for index, cosine in zip(indexes, cosines, strict=True):
                record = _record(one, texts[index], cosine, labels)
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
