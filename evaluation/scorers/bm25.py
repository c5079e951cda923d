"""BM25 over a task's passages, by bm25s (Lù 2024): the usual first stage, and a baseline. Defaults are Anserini's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import bm25s  # type: ignore[import-untyped]  # it ships no types

from evaluation.benchmarks.task import Query, Task
from evaluation.rank_files import Run
from evaluation.scorers.scorer import Scored

K1, B = 0.9, 0.4


class Bm25:
    """Scores with the statistics of the whole corpus, whichever passages are asked for."""

    name = "BM25"
    concurrency = 1

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def identity(self) -> Mapping[str, Any]:
        return {
            "kind": "bm25",
            "k1": K1,
            "b": B,
            "stopwords": "en",
            "query": "instruction behind",
            "version": bm25s.__version__,
        }

    def prepare(self, task: Task) -> None:
        ids = list(task.documents)
        self._places = {document: place for place, document in enumerate(ids)}
        self._ids = ids
        self._index = bm25s.BM25(k1=K1, b=B)
        tokens = bm25s.tokenize(list(task.documents.values()), stopwords="en", show_progress=False)
        self._index.index(tokens, show_progress=False)

    def score(self, query: Query, passages: Sequence[tuple[str, str]]) -> list[Scored]:
        words = bm25s.tokenize([query.searched], stopwords="en", return_ids=False, show_progress=False)[0]
        if not words:  # of stop words alone, which the index cannot be asked
            return [Scored(0.0) for _ in passages]
        scores = self._index.get_scores(words)
        return [Scored(float(scores[self._places[document]])) for document, _ in passages]

    def search(self, queries: Sequence[Query], depth: int) -> Run:
        """The best `depth` documents of each query, its excluded ones left out; documents without a shared word too."""
        run: Run = {}
        for query in queries:
            words = bm25s.tokenize([query.searched], stopwords="en", return_ids=False, show_progress=False)
            wanted = min(depth + len(query.excluded), len(self._ids))
            places, scores = self._index.retrieve(words, k=wanted, show_progress=False)
            found = zip((self._ids[int(place)] for place in places[0]), scores[0], strict=True)
            kept = [(document, float(score)) for document, score in found if score > 0]
            run[query.id] = dict([pair for pair in kept if pair[0] not in query.excluded][:depth])
        return run

    def close(self) -> None:
        """Nothing to free."""
