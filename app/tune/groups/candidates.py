"""First stages over the passages: vectors by the bi-encoder, and for each query the best of BM25 and of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from app.tune.documents.passages import Passage
from app.tune.queries.made import Query
from cli.output import translate_disk_errors
from contract.adaptive.fusion import of_rank
from contract.files import replacing
from retrieval.retriever import Hit, Retriever

if TYPE_CHECKING:  # takes seconds to import
    from retrieval.bi_encoder import BiEncoder

Vectors = NDArray[np.float32]

ENCODER_TOKENS = 256
DEPTH = 30  # of each first stage
RERANKED = 20  # candidates of a query that is measured
_PORTION = 128  # passages between two looks at the progress
_SEARCHED = 6  # times the depth, so that enough is left where some passages may not be found
_AT_ONCE = 256  # queries


@dataclass(frozen=True, slots=True)
class Found:
    """What the first stages found for one query: indexes of passages with their scores, best first. `own`: the passages
    that are known to answer. `cosines`: the bi-encoder's of all of them, by index."""

    query: str
    bm25: tuple[Hit, ...]
    bi_encoder: tuple[Hit, ...]
    own: tuple[int, ...]
    cosines: Mapping[int, float]

    def to_row(self) -> dict[str, Any]:
        stages = {"bm25": self.bm25, "bi_encoder": self.bi_encoder}
        rows = {name: [[hit.index, round(hit.score, 6)] for hit in hits] for name, hits in stages.items()}
        cosines = [[index, round(cosine, 6)] for index, cosine in self.cosines.items()]
        return {"query": self.query, **rows, "own": list(self.own), "cosines": cosines}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Found:
        bm25, near = (tuple(Hit(*each) for each in row[name]) for name in ("bm25", "bi_encoder"))
        return cls(row["query"], bm25, near, tuple(row["own"]), dict(row["cosines"]))

    def fused(self) -> list[int]:
        """The indexes that either found, by the sum of their reciprocal ranks."""
        scores = self.fused_scores()
        return sorted(scores, key=lambda index: (-scores[index], index))

    def fused_scores(self) -> dict[int, float]:
        """The sum of the reciprocal ranks of what either found, by index."""
        scores: dict[int, float] = {}
        for hits in (self.bm25, self.bi_encoder):
            for rank, hit in enumerate(hits, start=1):
                scores[hit.index] = scores.get(hit.index, 0.0) + of_rank(rank)
        return scores


def open_encoder(model: str | Path) -> BiEncoder:
    """The bi-encoder, without its prompts, as the limits of the negatives were measured."""
    from retrieval.bi_encoder import BiEncoder

    return BiEncoder(model, max_tokens=ENCODER_TOKENS, prompted=False)


def write_vectors(
    path: Path, texts: Sequence[str], encoder: BiEncoder, portions: Path, report: Callable[[int, int], None]
) -> tuple[int, ...]:
    """The vectors of `texts` into a NumPy file; their shape. `portions` is a folder of what a stopped run has encoded
    of the same texts, and of what is encoded now. Raises `DiskFull`."""
    portions.mkdir(exist_ok=True)
    encoded = []
    for start in range(0, len(texts), _PORTION):
        portion = portions / f"{start}.npy"
        if not portion.exists():
            _save(portion, encoder.encode_passages(texts[start : start + _PORTION]))
        encoded.append(read_vectors(portion))
        report(min(start + _PORTION, len(texts)), len(texts))
    vectors = np.concatenate(encoded)
    _save(path, vectors)
    return vectors.shape


def _save(path: Path, vectors: Vectors) -> None:
    with translate_disk_errors(path), replacing(path) as part, part.open("wb") as file:
        np.save(file, vectors, allow_pickle=False)


def read_vectors(path: Path) -> Vectors:
    """As `write_vectors` wrote them."""
    return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)


class FirstStages:
    """Both indexes over all passages."""

    def __init__(self, passages: Sequence[Passage], vectors: Vectors, encoder: BiEncoder) -> None:
        from retrieval.bi_encoder import VectorIndex
        from retrieval.bm25 import Bm25

        texts = [passage.text for passage in passages]
        self._places = {passage.id: index for index, passage in enumerate(passages)}
        self._documents = [passage.document for passage in passages]
        self._near = VectorIndex(texts, encoder, vectors)
        self._stages: tuple[Retriever, Retriever] = (Bm25(texts), self._near)

    def find(
        self, queries: Sequence[Query], documents: Collection[str], report: Callable[[int, int], None]
    ) -> list[Found]:
        """The best passages of `documents` for each query."""
        found: list[Found] = []
        for start in range(0, len(queries), _AT_ONCE):
            batch = queries[start : start + _AT_ONCE]
            texts = [query.text for query in batch]
            shared, near = (self._search(stage, texts, documents) for stage in self._stages)
            own = [self._own(query) for query in batch]
            all_of = [_indexes(*each) for each in zip(own, shared, near, strict=True)]
            cosines = self._near.similarities(texts, all_of)
            for place, query in enumerate(batch):
                similar = dict(zip(all_of[place], cosines[place], strict=True))
                found.append(Found(query.id, shared[place], near[place], own[place], similar))
            report(len(found), len(queries))
        return found

    def _search(self, stage: Retriever, texts: Sequence[str], documents: Collection[str]) -> list[tuple[Hit, ...]]:
        return [
            tuple(hit for hit in hits if self._documents[hit.index] in documents)[:DEPTH]
            for hits in stage.search(texts, DEPTH * _SEARCHED)
        ]

    def _own(self, query: Query) -> tuple[int, ...]:
        """Places of the passages that answer; of whole documents nothing is known."""
        names = () if query.by_document else query.relevant
        return tuple(self._places[name] for name in names if name in self._places)


def _indexes(own: Sequence[int], *stages: Sequence[Hit]) -> list[int]:
    return list(dict.fromkeys([*own, *(hit.index for hits in stages for hit in hits)]))
