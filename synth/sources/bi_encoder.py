"""A bi-encoder over passages, by sentence-transformers; the one importer of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from httpx2 import HTTPError  # what huggingface_hub speaks HTTP with, and lets through
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from transformers.utils import logging

from synth.errors import BadSettings
from synth.sources.retriever import Hit

BATCH = 64
QUERIES_AT_ONCE = 1024


class BiEncoder:
    """Passages as unit vectors in memory (float32: 1.5 KB each at 384 dimensions); a hit's score is the cosine.

    `model` is any model id or folder that sentence-transformers reads. Inputs are cut at `max_tokens`.
    """

    def __init__(
        self, passages: Sequence[str], model: str | Path, *, max_tokens: int = 128, device: str | None = None
    ) -> None:
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # a run says in its own lines where it stands
        try:
            self._model = SentenceTransformer(str(model), device=device)
        except (OSError, ValueError, HTTPError) as error:
            raise BadSettings(
                f"The bi-encoder '{model}' cannot be loaded ({error}); give a model id or folder."
            ) from None
        self._model.max_seq_length = max_tokens
        self._passages = self._encode(passages)

    def search(self, queries: Sequence[str], depth: int) -> list[list[Hit]]:
        """See `Retriever.search`."""
        hits: list[list[Hit]] = []
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            hits += self._best(self._encode(queries[start : start + QUERIES_AT_ONCE]), depth)
        return hits

    def similarities(self, queries: Sequence[str], indexes: Sequence[Sequence[int]]) -> list[list[float]]:
        """For each query the cosines of the passages of those indexes, in their order."""
        vectors = self._encode(queries)
        return [
            [float(one) for one in self._passages[list(row)] @ vector]
            for vector, row in zip(vectors, indexes, strict=True)
        ]

    def _best(self, queries: NDArray[np.float32], depth: int) -> list[list[Hit]]:
        scores = queries @ self._passages.T
        depth = min(depth, scores.shape[1])
        best = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
        rows = []
        for row, indexes in zip(scores, best, strict=True):
            order = sorted((int(index) for index in indexes), key=lambda index: (-float(row[index]), index))
            rows.append([Hit(index, float(row[index])) for index in order])
        return rows

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = self._model.encode(
            list(texts), batch_size=BATCH, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
        return np.asarray(vectors, dtype=np.float32)
