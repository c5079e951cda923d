"""What every benchmark comes down to: queries, passages, judgements, candidates, and the protocol they are used by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from trainer.rank_files import Qrels, Run

MEASURES = ("nDCG@10", "nDCG@5", "RR@10", "AP@100", "R@5", "R@20", "P@1", "P@10")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """`search` is the text a first stage searches with, where it differs; `excluded` documents may not be ranked for
    this query; `group` is the kind of query by which means are shown as well."""

    id: str
    text: str
    instruction: str | None = None
    search: str | None = None
    excluded: frozenset[str] = frozenset()
    group: str | None = None


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

    `candidates` are those that come with the data, of a first stage called `candidates_name`. `readings` are further
    judgements of the same queries, by name. `changed` is FollowIR's: query id (without -og, -changed) -> documents that
    the altered instruction rules out.
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
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Changes with any text that a scorer may be given: scores of other texts must not be taken for these."""
        digest = hashlib.sha256()
        for query in sorted(self.queries, key=lambda query: query.id):
            _add(digest, (query.id, query.text, query.instruction or ""))
        for document in sorted(self.documents):
            _add(digest, (document, self.documents[document]))
        return digest.hexdigest()[:16]


def sampled(queries: Iterable[Query], count: int | None) -> list[Query]:
    """`count` queries drawn by the hash of their id, so that a larger sample holds every smaller one; None: all.

    FollowIR's ID-og and ID-changed stand next to each other.
    """
    drawn = sorted(queries, key=lambda query: (hashlib.sha256(_base(query.id).encode()).digest(), query.id))
    return drawn if count is None else drawn[:count]


def _base(query: str) -> str:
    return "limrank " + query.removesuffix("-og").removesuffix("-changed")


def passage(title: object, text: object) -> str:
    """Title and text with a space between, as BEIR joins them."""
    return f"{title or ''} {text or ''}".strip()


def _add(digest: hashlib._Hash, parts: tuple[str, ...]) -> None:
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass"))
        digest.update(b"\x00")
