"""The first stages of an import: BM25 always, a bi-encoder where one is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contract.records import NegativeType
from synth.sources.bm25 import Bm25
from synth.sources.retriever import Retriever


def first_stages(passages: Sequence[str], bi_encoder: str | Path | None) -> dict[NegativeType, Retriever]:
    """Indexes over `passages`, by the type of the negatives they find. Raises `BadSettings` for no such model."""
    retrievers: dict[NegativeType, Retriever] = {NegativeType.BM25: Bm25(passages)}
    if bi_encoder is not None:
        from synth.sources.bi_encoder import BiEncoder  # takes seconds to import

        retrievers[NegativeType.BI_ENCODER] = BiEncoder(passages, bi_encoder)
    return retrievers
