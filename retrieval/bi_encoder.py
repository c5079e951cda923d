"""Bi-encoders by sentence-transformers: texts as unit vectors, and an index of passages over them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from httpx2 import HTTPError  # HTTP library of huggingface_hub, which does not wrap its errors
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from transformers import PreTrainedModel
from transformers.utils import logging

from cli.errors import BadSettings
from contract.prompt import ContractError
from contract.truncation import position_count
from retrieval.retriever import Hit

BATCH = 64
QUERIES_AT_ONCE = 1024
Vectors = NDArray[np.float32]


class BiEncoder:
    """`model` is any model id or folder that sentence-transformers reads. Inputs are cut at `max_tokens`, None: at the
    length that its files state; and at the model's last position in any case. `prompted` True: each kind of text gets
    the model's own prompt for it, where there is one.

    Raises `BadSettings` for a model that cannot be loaded.
    """

    def __init__(
        self, model: str | Path, *, max_tokens: int | None = None, device: str | None = None, prompted: bool = True
    ) -> None:
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # the programs show their own progress
        try:
            self._model = SentenceTransformer(str(model), device=device)
        except (OSError, ValueError, HTTPError) as error:
            raise BadSettings(
                f"The bi-encoder '{model}' cannot be loaded ({error}); give a model id or folder."
            ) from None
        length = _within_positions(self._model, max_tokens)
        if length is not None and length != self._model.max_seq_length:
            with suppress(AttributeError):  # static models have no length to set: they read texts whole
                self._model.max_seq_length = length
        self._prompted = prompted

    @property
    def max_tokens(self) -> int | None:
        """Where inputs are cut; None: nowhere."""
        length = self._model.max_seq_length
        return None if length is None or math.isinf(length) else length

    @property
    def prompts(self) -> dict[str, str | None]:
        """The model's own prompts, by kind of text."""
        return dict(self._model.prompts)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (texts, dimensions)."""
        return self._encode(self._model.encode_query if self._prompted else self._model.encode, texts)

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (texts, dimensions)."""
        return self._encode(self._model.encode_document if self._prompted else self._model.encode, texts)

    def _encode(self, encode: Callable[..., Any], texts: Sequence[str]) -> Vectors:
        vectors = encode(
            list(texts), batch_size=BATCH, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
        return np.asarray(vectors, dtype=np.float32)


def _within_positions(model: SentenceTransformer, asked: int | None) -> int | None:
    """Where inputs are cut: at what was asked for or the files state, and never behind the model's last position. None
    where nothing says a length, as for models without positions."""
    length: int | None = model.max_seq_length if asked is None else asked
    network = getattr(model[0], "model", None)
    if not isinstance(network, PreTrainedModel):
        return length
    try:
        positions = position_count(network)
    except ContractError:  # relative positions: any length can be read
        return length
    return positions if length is None else min(length, positions)


class VectorIndex:
    """Passages as vectors in memory (float32: 1.5 KB each at 384 dimensions). A hit's score is the cosine
    similarity.

    `vectors`: those of the passages, (passages, dimensions), where they have been computed before.
    """

    def __init__(self, passages: Sequence[str], encoder: BiEncoder, vectors: Vectors | None = None) -> None:
        self._encoder = encoder
        self._passages = encoder.encode_passages(passages) if vectors is None else vectors

    def search(self, queries: Sequence[str], depth: int) -> list[list[Hit]]:
        """See `Retriever.search`; ties go to the earlier passage."""
        hits: list[list[Hit]] = []
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            vectors = self._encoder.encode_queries(queries[start : start + QUERIES_AT_ONCE])
            hits += [_best(scores, depth) for scores in vectors @ self._passages.T]
        return hits

    def similarities(self, queries: Sequence[str], indexes: Sequence[Sequence[int]]) -> list[list[float]]:
        """For each query the cosine similarities of the passages with these indexes, in order."""
        vectors = self._encoder.encode_queries(queries)
        return [
            [float(cosine) for cosine in self._passages[list(row)] @ vector]
            for vector, row in zip(vectors, indexes, strict=True)
        ]


def _best(scores: NDArray[np.float32], depth: int) -> list[Hit]:
    """The `depth` largest scores of shape (passages,)."""
    depth = min(depth, len(scores))
    if depth == 0:
        return []
    least = np.partition(scores, len(scores) - depth)[len(scores) - depth]
    near = np.flatnonzero(scores >= least)  # more than `depth` when scores tie
    order = near[np.argsort(-scores[near], kind="stable")][:depth]
    return [Hit(int(index), float(scores[index])) for index in order]
