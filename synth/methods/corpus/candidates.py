"""Candidates for every synthetic query: the best passages of BM25 and of a bi-encoder, in `candidates.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from cli.output import write_json_lines
from contract.reading import reading_key
from contract.records import Difficulty, NegativeType
from retrieval.retriever import Retriever
from retrieval.words import rules
from synth.methods.corpus.documents import DocumentStore
from synth.methods.corpus.settings import CorpusSettings
from synth.scratch import digest

FORMAT = "limrank.candidates"
BATCH = 256


@dataclass(frozen=True, slots=True)
class SyntheticQuery:
    """A query and the number of the document it was written for."""

    id: str
    text: str
    difficulty: Difficulty
    document: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document by number, and the retriever that ranked it highest."""

    number: int
    by: NegativeType


@dataclass(frozen=True, slots=True)
class Candidates:
    """One query with its candidates: its own document first, then best ranks first, no text twice."""

    query: SyntheticQuery
    candidates: tuple[Candidate, ...]

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Candidates:
        query = SyntheticQuery(**(row["query"] | {"difficulty": Difficulty(row["query"]["difficulty"])}))
        found = tuple(Candidate(item["number"], NegativeType(item["by"])) for item in row["candidates"])
        return cls(query, found)


def mine_candidates(
    path: Path, queries: Iterable[SyntheticQuery], store: DocumentStore, settings: CorpusSettings
) -> None:
    """Writes the candidates of all queries, unless the existing file was made from the same queries and settings."""
    listed = list(queries)
    made_from = {"fingerprint": _fingerprint(listed, settings), "words": rules(), "copies": "left out"}
    if path.exists() and made_from.items() <= _header(path).items():
        return
    header = {"format": FORMAT, "version": 1, **made_from, "rows": len(listed)}
    mined = _mined(listed, _retrievers(store, settings), settings)
    keys = [digest(reading_key(store.passage(number, settings.document_characters))) for number in range(len(store))]
    write_json_lines(path, header, (asdict(_without_copies(row, keys)) for row in mined))


def read_candidates(path: Path) -> tuple[int, Iterator[Candidates]]:
    """The number of queries, and their candidates in the order of the queries."""
    return int(_header(path)["rows"]), _rows(path)


def interleave(own: int, ranked: Iterable[tuple[NegativeType, list[int]]]) -> tuple[Candidate, ...]:
    """The query's own document, then rank by rank one document of each retriever, without duplicates."""
    by_retriever = list(ranked)
    found = {own: by_retriever[0][0]}
    for rank in range(max(len(numbers) for _, numbers in by_retriever)):
        for by, numbers in by_retriever:
            if rank < len(numbers):
                found.setdefault(numbers[rank], by)
    return tuple(Candidate(number, by) for number, by in found.items())


def _without_copies(row: Candidates, keys: Sequence[bytes]) -> Candidates:
    """The candidates without those that read the same as an earlier one or as the query. `keys` are the documents' keys
    by number."""
    seen = {digest(reading_key(row.query.text))}
    kept = []
    for candidate in row.candidates:
        if keys[candidate.number] not in seen:
            seen.add(keys[candidate.number])
            kept.append(candidate)
    return Candidates(row.query, tuple(kept))


def _mined(
    queries: list[SyntheticQuery], retrievers: dict[NegativeType, Retriever], settings: CorpusSettings
) -> Iterator[Candidates]:
    stream = iter(queries)
    while batch := list(islice(stream, BATCH)):
        texts = [query.text for query in batch]
        hits = {by: retriever.search(texts, settings.candidates) for by, retriever in retrievers.items()}
        for place, query in enumerate(batch):
            ranked = [(by, [hit.index for hit in found[place]]) for by, found in hits.items()]
            yield Candidates(query, interleave(query.document, ranked))


def _retrievers(store: DocumentStore, settings: CorpusSettings) -> dict[NegativeType, Retriever]:
    from synth.sources.first_stages import first_stages  # bm25s takes a second to import

    model, tokens, ray = settings.bi_encoder or None, settings.bi_encoder_tokens, settings.ray or None
    return first_stages(list(store.passages()), model, tokens, ray)


def _fingerprint(queries: list[SyntheticQuery], settings: CorpusSettings) -> str:
    chosen_by = settings.model_dump(mode="json", include={"bi_encoder", "bi_encoder_tokens", "candidates"})
    hasher = sha256(json.dumps(chosen_by, sort_keys=True).encode())
    for query in queries:
        hasher.update(json.dumps([query.id, query.text, query.difficulty, query.document]).encode())
    return hasher.hexdigest()


def _header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        header: dict[str, Any] = json.loads(file.readline())
    return header


def _rows(path: Path) -> Iterator[Candidates]:
    with path.open("rb") as file:
        file.readline()
        for line in file:
            yield Candidates.from_row(json.loads(line))
