"""BM25 over a task's passages: the usual first stage, and a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.benchmarks.task import Query, Task
from evaluation.scorers.scorer import Scored
from evaluation.scorers.searching import search
from retrieval import bm25
from retrieval.trec import Run
from retrieval.words import rules


class Bm25:
    """Scores with the statistics of the whole corpus, whichever passages are scored."""

    name = "BM25"
    concurrency = 1

    def identity(self) -> Mapping[str, Any]:
        return {
            "kind": "bm25",
            "k1": bm25.K1,
            "b": bm25.B,
            "stopwords": bm25.STOPWORDS,
            "query": "instruction behind",
            "version": bm25.VERSION,
            "words": rules(),
        }

    def prepare(self, task: Task) -> None:
        self._ids = list(task.documents)
        self._places = {document: place for place, document in enumerate(self._ids)}
        self._index = bm25.Bm25(list(task.documents.values()))

    def score(self, query: Query, passages: Sequence[tuple[str, str]]) -> list[Scored]:
        places = [self._places[document] for document, _ in passages]
        return [Scored(score) for score in self._index.scores(query.searched, places)]

    def search(self, queries: Sequence[Query], depth: int) -> Run:
        """The best `depth` documents of each query, without its excluded ones and those that share no word with it."""
        return {query.id: search(self._index, self._ids, query, depth) for query in queries}

    def close(self) -> None:
        """Nothing to free."""
