"""A ranking task: queries, passages, judgements, candidates, and the protocol that documents how a figure is
obtained."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from retrieval.trec import Qrels, Run

MEASURES = ("nDCG@10", "nDCG@5", "RR@10", "AP@100", "R@5", "R@20", "P@1", "P@10")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One query. `search` is the text that BM25 and bi-encoders search with, when it differs from the query. `excluded`
    are documents that must not be ranked for it. `group` is the kind of query, for means by kind.

    Queries with the same `topic` are sampled together and count once in intervals and tests; None means that the query
    is its own topic. `altered` marks a query that asks its topic under an altered instruction.
    """

    id: str
    text: str
    instruction: str | None = None
    search: str | None = None
    excluded: frozenset[str] = frozenset()
    group: str | None = None
    topic: str | None = None
    altered: bool = False

    @property
    def counted_as(self) -> str:
        """The topic: the query's own id unless it shares one."""
        return self.id if self.topic is None else self.topic

    @property
    def searched(self) -> str:
        """The text that BM25 and bi-encoders search with. They have no input for an instruction, so it follows the
        query."""
        return " ".join(part for part in (self.search or self.text, self.instruction) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How a figure was obtained, stated with every result. `first_stage` and `depth` are set when candidates are
    chosen."""

    source: str
    licence: str
    split: str
    query: str
    passage: str
    excluded: str = "none"
    first_stage: str = ""
    depth: int = 0

    def to_json(self) -> dict[str, str | int]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One ranking task. `documents` maps ids to passages as the reranker reads them. The first of `measures` is the
    headline.

    `candidates` are those in the data, from the first stage `candidates_name`. `searches` names the source of the
    queries' `search`. `readings` are further judgements of the same queries, by name. `changed` maps a topic to the
    documents that its altered instruction rules out. `shared_ids` is False when equal ids of a query and a document
    mean nothing, because the queries have no ids of their own. `same_text` maps the reading key of a query to the
    documents that have its text under a title.
    """

    name: str
    queries: tuple[Query, ...]
    documents: Mapping[str, str]
    qrels: Qrels
    protocol: Protocol
    measures: tuple[str, ...] = MEASURES
    readings: Mapping[str, Qrels] = field(default_factory=dict)
    candidates: Run | None = None
    candidates_name: str = "with-data"
    searches: str = ""
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shared_ids: bool = True
    same_text: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Changes with any text that a scorer may read, so that scores of other texts are not reused."""
        digest = hashlib.sha256()
        for query in sorted(self.queries, key=lambda query: query.id):
            searched = () if query.search is None else (query.search,)
            _add(digest, (query.id, query.text, query.instruction or "", *searched))
        for document in sorted(self.documents):
            _add(digest, (document, self.documents[document]))
        return digest.hexdigest()[:16]


def sampled(queries: Iterable[Query], count: int | None) -> list[Query]:
    """The queries of `count` topics (None: all), drawn by the hash of the topic, so that a larger sample contains every
    smaller one."""
    drawn = sorted(
        queries, key=lambda query: (hashlib.sha256(f"limrank {query.counted_as}".encode()).digest(), query.id)
    )
    chosen = set(list(dict.fromkeys(query.counted_as for query in drawn))[:count])
    return [query for query in drawn if query.counted_as in chosen]


def passage(title: object, text: object) -> str:
    """Title and text joined by a space, as in BEIR."""
    return f"{title or ''} {text or ''}".strip()


def _add(digest: hashlib._Hash, parts: tuple[str, ...]) -> None:
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass"))
        digest.update(b"\x00")
