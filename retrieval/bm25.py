"""BM25 over passages, by bm25s (Lù 2024); its only importer. Defaults are Anserini's for short passages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import bm25s  # type: ignore[import-untyped]  # no types
import numpy as np
from bm25s.stopwords import STOPWORDS_EN  # type: ignore[import-untyped]
from numpy.typing import NDArray

from retrieval.retriever import Hit
from retrieval.words import search_terms, words

K1, B = 0.9, 0.4
STOPWORDS = "en"
VERSION: str = bm25s.__version__

_STOPWORDS = frozenset(STOPWORDS_EN)


class Bm25:
    """A BM25 index in memory: about 8 bytes for each distinct term of each passage.

    A query that consists of stop words and single letters ("the who", "C") is answered from a second index over all
    words, which is built for the first such query. With `stopwords` False no words are left out.
    """

    def __init__(self, passages: Sequence[str], *, stopwords: bool = True) -> None:
        self._passages = passages
        self._stopwords = _STOPWORDS if stopwords else frozenset[str]()
        self._terms = _Index(passages, self._kept)

    def search(self, queries: Sequence[str], depth: int) -> list[list[Hit]]:
        """See `Retriever.search`; passages that share no word with the query (score 0) are left out."""
        return [self._index_for(query).best(query, depth) for query in queries]

    def scores(self, query: str, indexes: Sequence[int]) -> list[float]:
        """The scores of the passages with these indexes, in order; 0 when no word is shared."""
        scores = self._index_for(query).scores(query)
        return [float(scores[index]) for index in indexes]

    def _index_for(self, query: str) -> _Index:
        return self._terms if self._kept(query) else self._all_words

    @cached_property
    def _all_words(self) -> _Index:
        return _Index(self._passages, lambda text: words(text.lower()))

    def _kept(self, text: str) -> list[str]:
        return [term for term in search_terms(text) if term not in self._stopwords]


class _Index:
    """One index. `terms` splits passages and queries into terms."""

    def __init__(self, passages: Sequence[str], terms: Callable[[str], list[str]]) -> None:
        self._terms = terms
        self._size = len(passages)
        vocabulary: dict[str, int] = {}
        ids = [[vocabulary.setdefault(term, len(vocabulary)) for term in terms(passage)] for passage in passages]
        self._vocabulary = vocabulary
        self._index = bm25s.BM25(k1=K1, b=B)
        if vocabulary:
            self._index.index((ids, vocabulary), create_empty_token=False, show_progress=False)

    def scores(self, query: str) -> NDArray[np.float32]:
        """Scores of all passages, shape (passages,)."""
        known = [term for term in self._terms(query) if term in self._vocabulary]
        if not known:
            return np.zeros(self._size, dtype=np.float32)
        return np.asarray(self._index.get_scores(known), dtype=np.float32)

    def best(self, query: str, depth: int) -> list[Hit]:
        known = [term for term in self._terms(query) if term in self._vocabulary]
        if not known:
            return []
        found, scores = self._index.retrieve([known], k=min(depth, self._size), show_progress=False)
        return [Hit(int(index), float(score)) for index, score in zip(found[0], scores[0], strict=True) if score > 0.0]
