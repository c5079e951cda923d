"""The first stages of an import: BM25 always, a bi-encoder if one is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from contract.records import NegativeType
from retrieval.bm25 import Bm25
from retrieval.retriever import Retriever

if TYPE_CHECKING:
    from retrieval.bi_encoder import VectorIndex

MAX_TOKENS = 128  # of a passage and of a query


def first_stages(
    passages: Sequence[str], bi_encoder: str | Path | None, max_tokens: int = MAX_TOKENS, ray: str | None = None
) -> dict[NegativeType, Retriever]:
    """Indexes over `passages`, keyed by the type of the negatives they find. With `ray`, the address of a cluster, the
    passages are encoded there. Raises `BadSettings` for an unknown model, or where there is no such cluster."""
    retrievers: dict[NegativeType, Retriever] = {NegativeType.BM25: Bm25(passages)}
    if bi_encoder is not None:
        retrievers[NegativeType.BI_ENCODER] = vector_index(passages, bi_encoder, max_tokens, ray)
    return retrievers


def vector_index(
    passages: Sequence[str], model: str | Path, max_tokens: int = MAX_TOKENS, ray: str | None = None
) -> VectorIndex:
    """A bi-encoder's index without its prompts, for which shares and limits were measured. Raises as `first_stages`
    does."""
    from retrieval.bi_encoder import BiEncoder, VectorIndex  # takes seconds to import

    if ray:
        from retrieval.ray_encoding import RayBiEncoder

        return VectorIndex(passages, RayBiEncoder(model, ray, max_tokens=max_tokens, prompted=False))
    return VectorIndex(passages, BiEncoder(model, max_tokens=max_tokens, prompted=False))
