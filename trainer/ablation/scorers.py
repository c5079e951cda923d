"""An encoder as a scorer of passages, before it is trained and after: for ablations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from evaluation.benchmarks.task import Query
from evaluation.scorers.encoders import BiEncoder
from trainer.cross_encoder.model import PairScorer, load_encoder, load_pair_encoder
from trainer.run.dev_score import PassageScorer
from trainer.settings import CrossEncoding


def pair_scorer(settings: CrossEncoding, model: Path) -> PairScorer:
    """The cross-encoder in a folder. Raise BadBase where there is none."""
    encoder = load_encoder(model, seed=settings.seed, train_embeddings=True)
    return PairScorer(encoder, load_pair_encoder(model, settings.max_tokens))


def base_scorer(settings: CrossEncoding) -> PassageScorer:
    """The base of a training. One without an output of its own is scored as the bi-encoder that it is: what a new
    output says is chance. Raise BadBase where the folder is no encoder."""
    pairs = pair_scorer(settings, settings.base)
    made_as = json.loads((settings.base / "config.json").read_text(encoding="utf-8")).get("architectures") or []
    if any(name.endswith("ForSequenceClassification") for name in made_as):
        return pairs
    return _CosineScorer(BiEncoder(str(settings.base), max_tokens=settings.max_tokens))


class _CosineScorer:
    """A bi-encoder as a PassageScorer."""

    def __init__(self, encoder: BiEncoder) -> None:
        self._encoder = encoder

    def score(self, query: str, passages: Sequence[str], instruction: str | None = None) -> list[float]:
        asked = Query(id=query, text=query, instruction=instruction)
        return [found.score for found in self._encoder.score(asked, [(text, text) for text in passages])]
