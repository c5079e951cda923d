"""Searches an index for one query of a task."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.benchmarks.task import Query
from retrieval.retriever import Retriever


def search(index: Retriever, ids: Sequence[str], query: Query, depth: int) -> dict[str, float]:
    """The best `depth` documents of a query without its excluded ones: id -> score, best first. `ids` are those of the
    indexed passages, in order."""
    hits = index.search([query.searched], depth + len(query.excluded))[0]
    allowed = [(ids[hit.index], hit.score) for hit in hits if ids[hit.index] not in query.excluded]
    return dict(allowed[:depth])
