"""BM25 over passages, by bm25s (Lù 2024); the one importer of it. Defaults are Anserini's for short passages."""

from __future__ import annotations

from collections.abc import Sequence

import bm25s  # type: ignore[import-untyped]  # it ships no types

from retrieval.retriever import Hit

K1, B = 0.9, 0.4
STOPWORDS = "en"
VERSION: str = bm25s.__version__


class Bm25:
    """A BM25 index in memory: about 8 bytes for each distinct word of each passage. `stopwords` None: none."""

    def __init__(self, passages: Sequence[str], *, stopwords: str | None = STOPWORDS) -> None:
        self._stopwords = stopwords
        self._size = len(passages)
        self._index = bm25s.BM25(k1=K1, b=B)
        tokens = bm25s.tokenize(list(passages), stopwords=stopwords or [], show_progress=False)
        self._index.index(tokens, show_progress=False)

    def search(self, queries: Sequence[str], depth: int) -> list[list[Hit]]:
        """See `Retriever.search`; passages that share no word with the query (score 0) are left out."""
        if not queries:
            return []
        found, scores = self._index.retrieve(self._words(queries), k=min(depth, self._size), show_progress=False)
        return [
            [Hit(int(index), float(score)) for index, score in zip(row, row_scores, strict=True) if score > 0.0]
            for row, row_scores in zip(found, scores, strict=True)
        ]

    def scores(self, query: str, indexes: Sequence[int]) -> list[float]:
        """The scores of the passages of those indexes, in their order; 0 where no word is shared."""
        words = self._words([query])[0]
        if not words:  # of stop words alone, which the index cannot be asked
            return [0.0] * len(indexes)
        scores = self._index.get_scores(words)
        return [float(scores[index]) for index in indexes]

    def _words(self, queries: Sequence[str]) -> list[list[str]]:
        words: list[list[str]] = bm25s.tokenize(
            list(queries), stopwords=self._stopwords or [], return_ids=False, show_progress=False
        )
        return words
