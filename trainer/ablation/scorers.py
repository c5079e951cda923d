"""An encoder as a scorer of passages, before and after training, for ablations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evaluation.benchmarks.task import Query
from evaluation.scorers.encoders import BiEncoder
from trainer.cross_encoder.model import PairScorer, load_encoder, load_pair_encoder
from trainer.run.bases import has_output
from trainer.run.dev_score import PassageScorer


def pair_scorer(model: Path, *, max_tokens: int) -> PairScorer:
    """The cross-encoder in a folder. Raises BadBase when there is none."""
    encoder = load_encoder(model, seed=0, train_embeddings=False)  # seed of a new output, unused here
    return PairScorer(encoder, load_pair_encoder(model, max_tokens))


def base_scorer(base: Path, *, max_tokens: int) -> PassageScorer:
    """The base of a training run. A base without an output is scored as the bi-encoder that it is, because a new output
    is random. Raises BadBase when the folder holds no encoder."""
    pairs = pair_scorer(base, max_tokens=max_tokens)
    return pairs if has_output(base) else _CosineScorer(BiEncoder(str(base), max_tokens=max_tokens))


class _CosineScorer:
    """A bi-encoder as a PassageScorer."""

    def __init__(self, encoder: BiEncoder) -> None:
        self._encoder = encoder

    def score(self, query: str, passages: Sequence[str], instruction: str | None = None) -> list[float]:
        asked = Query(id=query, text=query, instruction=instruction)
        return [found.score for found in self._encoder.score(asked, [(text, text) for text in passages])]
