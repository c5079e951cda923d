"""What every benchmark comes down to: queries, passages, judgements, candidates, and the protocol they are used by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from retrieval.trec import Qrels, Run

ORIGINAL, ALTERED = "-og", "-changed"  # ends of the ids of FollowIR's queries
MEASURES = ("nDCG@10", "nDCG@5", "RR@10", "AP@100", "R@5", "R@20", "P@1", "P@10")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """`search` is the text that BM25 and bi-encoders search with, where it differs; `excluded` documents may not be
    ranked for this query; `group` is the kind of query by which means are shown as well."""

    id: str
    text: str
    instruction: str | None = None
    search: str | None = None
    excluded: frozenset[str] = frozenset()
    group: str | None = None

    @property
    def searched(self) -> str:
        """What BM25 and bi-encoders read: the instruction has no place of its own there, so it goes behind."""
        return " ".join(part for part in (self.search or self.text, self.instruction) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How a figure was made; stated with every result. `first_stage` and `depth` are set when candidates are chosen."""

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
    """One ranking task. `documents` maps ids to passages as the reranker reads them; the first of `measures` is shown.

    `candidates` are those that come with the data, of a first stage called `candidates_name`. `searches` names what the
    queries' `search` comes from. `readings` are further judgements of the same queries, by name. `changed` is
    FollowIR's: query id (without -og, -changed) -> documents that the altered instruction rules out.
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

    def fingerprint(self) -> str:
        """Changes with any text that a scorer may be given: scores of other texts must not be taken for these."""
        digest = hashlib.sha256()
        for query in sorted(self.queries, key=lambda query: query.id):
            searched = () if query.search is None else (query.search,)
            _add(digest, (query.id, query.text, query.instruction or "", *searched))
        for document in sorted(self.documents):
            _add(digest, (document, self.documents[document]))
        return digest.hexdigest()[:16]


def sampled(queries: Iterable[Query], count: int | None) -> list[Query]:
    """`count` queries drawn by the hash of their id, so that a larger sample holds every smaller one; None: all.

    FollowIR's ID-og and ID-changed are drawn together and count once.
    """
    drawn = sorted(
        queries, key=lambda query: (hashlib.sha256(f"limrank {topic(query.id)}".encode()).digest(), query.id)
    )
    chosen = set(list(dict.fromkeys(topic(query.id) for query in drawn))[:count])
    return [query for query in drawn if topic(query.id) in chosen]


def topic(query: str) -> str:
    """The id that FollowIR's ID-og and ID-changed share; any other as it is."""
    return query.removesuffix(ORIGINAL).removesuffix(ALTERED)


def passage(title: object, text: object) -> str:
    """Title and text with a space between, as BEIR joins them."""
    return f"{title or ''} {text or ''}".strip()


def _add(digest: hashlib._Hash, parts: tuple[str, ...]) -> None:
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass"))
        digest.update(b"\x00")
