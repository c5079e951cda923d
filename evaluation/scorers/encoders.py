"""Bi-encoders and cross-encoders from Hugging Face, run by sentence-transformers: baselines and first stages.

Not for models that this project serves: those are measured through the service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from httpx2 import HTTPError  # HTTP library of huggingface_hub, which does not wrap its errors
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder

from contract.prompt import ContractError
from contract.truncation import position_count
from evaluation.benchmarks.task import Query, Task
from evaluation.errors import BadSettings
from evaluation.scorers.local_service import weights_hash
from evaluation.scorers.scorer import Scored
from evaluation.scorers.searching import search
from retrieval import bi_encoder
from retrieval.similarity_bert import register
from retrieval.trec import Run

BATCH = 64


def short_name(model: str) -> str:
    """The name of a model in tables and folders: the last part of a folder's path, or the full hub id, because two
    owners may use one name."""
    return Path(model).name if Path(model).is_dir() else model


class BiEncoder:
    """Cosine similarity of two vectors, each computed with the model's own prompt for its kind of text, if any. An
    instruction follows the query. `model` is a model id or folder that sentence-transformers reads."""

    concurrency = 1

    def __init__(self, model: str, *, max_tokens: int | None = None) -> None:
        self._encoder = bi_encoder.BiEncoder(model, max_tokens=max_tokens)
        self.name = f"bi-encoder {short_name(model)}"
        self._identity: dict[str, Any] = {"kind": "bi-encoder", "model": model, "weights": weights_hash(model)}
        self._identity |= {"max_tokens": self._encoder.max_tokens, "prompts": self._encoder.prompts}
        self._identity["query"] = "instruction behind"
        self._vectors: dict[str, NDArray[np.float32]] = {}

    def identity(self) -> Mapping[str, Any]:
        return self._identity

    def prepare(self, task: Task) -> None:
        self._vectors = {}

    def score(self, query: Query, passages: Sequence[tuple[str, str]]) -> list[Scored]:
        missing = [(document, text) for document, text in passages if document not in self._vectors]
        if missing:
            vectors = self._encoder.encode_passages([text for _, text in missing])
            self._vectors |= {document: vector for (document, _), vector in zip(missing, vectors, strict=True)}
        asked = self._encoder.encode_queries([query.searched])[0]
        return [Scored(float(asked @ self._vectors[document])) for document, _ in passages]

    def search(self, task: Task, queries: Sequence[Query], depth: int) -> Run:
        """The best `depth` documents of each query over the whole corpus, without its excluded ones."""
        ids = list(task.documents)
        index = bi_encoder.VectorIndex(list(task.documents.values()), self._encoder)
        return {query.id: search(index, ids, query, depth) for query in queries}

    def close(self) -> None:
        """Nothing to free."""


class PublicCrossEncoder:
    """Any cross-encoder with one output, which is the score. An instruction follows the query."""

    concurrency = 1

    def __init__(self, model: str, *, max_tokens: int | None = None) -> None:
        from torch.nn import Identity

        register()
        try:
            self._model = CrossEncoder(model, max_length=max_tokens, activation_fn=Identity())
        except (OSError, ValueError, HTTPError) as error:
            raise BadSettings(
                f"The cross-encoder '{model}' cannot be loaded ({error}); name an id or a folder."
            ) from None
        if self._model.num_labels != 1:
            raise BadSettings(f"The cross-encoder '{model}' has {self._model.num_labels} outputs; one is needed.")
        self._model.max_seq_length = _within_positions(self._model)
        self.name = f"cross-encoder {short_name(model)}"
        self._identity: dict[str, Any] = {"kind": "cross-encoder", "model": model, "weights": weights_hash(model)}
        self._identity["max_tokens"] = max_tokens

    def identity(self) -> Mapping[str, Any]:
        return self._identity

    def prepare(self, task: Task) -> None:
        """Nothing to do."""

    def score(self, query: Query, passages: Sequence[tuple[str, str]]) -> list[Scored]:
        asked = query.text if query.instruction is None else f"{query.text} {query.instruction}"
        scores = self._model.predict([(asked, text) for _, text in passages], batch_size=BATCH, show_progress_bar=False)
        return [Scored(float(score)) for score in scores]

    def close(self) -> None:
        """Nothing to free."""


def _within_positions(model: CrossEncoder) -> int | None:
    """The longest pair: as requested or as the tokenizer states, and at most the model's number of positions."""
    stated: int | None = model.max_seq_length
    try:
        positions = position_count(model[0].model)
    except ContractError:
        return stated
    return positions if stated is None else min(stated, positions)
