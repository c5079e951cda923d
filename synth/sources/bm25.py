"""BM25 over passages, by bm25s (Lù 2024); the one importer of it. Defaults are Anserini's for short passages."""

from __future__ import annotations

from collections.abc import Sequence

import bm25s  # type: ignore[import-untyped]  # it ships no types

from synth.sources.retriever import Hit


class Bm25:
    """A BM25 index in memory: about 8 bytes for each distinct word of each passage."""

    def __init__(
        self, passages: Sequence[str], *, k1: float = 0.9, b: float = 0.4, stopwords: str | None = "en"
    ) -> None:
        self._stopwords = stopwords
        self._size = len(passages)
        self._index = bm25s.BM25(k1=k1, b=b)
        tokens = bm25s.tokenize(list(passages), stopwords=stopwords or [], show_progress=False)
        self._index.index(tokens, show_progress=False)

    def search(self, queries: Sequence[str], depth: int) -> list[list[Hit]]:
        """See `Retriever.search`; passages that share no word with the query (score 0) are left out."""
        if not queries:
            return []
        tokens = bm25s.tokenize(list(queries), stopwords=self._stopwords or [], return_ids=False, show_progress=False)
        found, scores = self._index.retrieve(tokens, k=min(depth, self._size), show_progress=False)
        return [
            [Hit(int(index), float(score)) for index, score in zip(row, row_scores, strict=True) if score > 0.0]
            for row, row_scores in zip(found, scores, strict=True)
        ]
