"""Scorers of (query, text) pairs: which stretch of a passage comes closest, and how likely a passage is relevant.

Both work in batches of similar length and keep what they computed by content, so that a stopped run resumes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification

from contract.files import replacing
from contract.pairs import PairEncoder
from contract.verdict import relevance
from recipes.limrank_mini.evidence.scoring import Pairs, Report
from recipes.limrank_mini.general.vectors import Encoder
from retrieval.similarity_bert import register
from synth.methods.distil.distilling import relevance as by_cosine
from trainer.cross_encoder.model import pad

_AT_ONCE = 32
_PART = 4096  # pairs per file of the cache


class ByVectors:
    """Cosines of a bi-encoder."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def scores(self, pairs: Pairs, report: Report | None = None) -> list[float]:
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        places = {text: place for place, text in enumerate(texts)}
        vectors = self._encoder(texts, report)
        return [float(vectors[places[query]] @ vectors[places[text]]) for query, text in pairs]

    def probability(self, score: float) -> float:
        return by_cosine(score)


class ByCrossEncoder:
    """Log-odds of a cross-encoder with one output, in bfloat16 on a CPU. `temperature` divides them."""

    def __init__(self, folder: Path, cache: Path, *, max_tokens: int = 256, temperature: float = 1.0) -> None:
        register()
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=1, local_files_only=True, trust_remote_code=False
        )
        self._model = model.eval()
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._encoder = PairEncoder(tokenizer, max_tokens)
        self._temperature = temperature
        with (folder / "model.safetensors").open("rb") as file:
            weights = hashlib.file_digest(file, "sha256").hexdigest()
        self._cache = cache / f"pairs-{weights[:16]}-{max_tokens}"
        self._known = _read_cache(self._cache)

    def scores(self, pairs: Pairs, report: Report | None = None) -> list[float]:
        keys = [_key(*pair) for pair in pairs]
        new = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in self._known}
        left = sorted(new, key=lambda key: (sum(map(len, new[key])), key))
        for start in range(0, len(left), _PART):
            part = left[start : start + _PART]
            found = [
                score for at in range(0, len(part), _AT_ONCE) for score in self._batch(part[at : at + _AT_ONCE], new)
            ]
            _write_part(self._cache, part, found)
            self._known |= dict(zip(part, found, strict=True))
            if report is not None:
                report(min(start + _PART, len(left)), len(left))
        return [self._known[key] / self._temperature for key in keys]

    def probability(self, score: float) -> float:
        return relevance(score)

    def _batch(self, keys: Sequence[str], texts: dict[str, tuple[str, str]]) -> list[float]:
        pairs = [self._encoder.pairs(self._encoder.query_ids(texts[key][0]), [texts[key][1]])[0] for key in keys]
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            logits = self._model(**pad(pairs, 0)).logits
        return [float(score) for score in logits.float().flatten()]


def _key(query: str, text: str) -> str:
    return hashlib.sha256(f"{query}\x00{text}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _write_part(folder: Path, keys: Sequence[str], scores: Sequence[float]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_key(','.join(keys), '')}.npz"
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, keys=np.array(keys), scores=np.array(scores))


def _read_cache(folder: Path) -> dict[str, float]:
    known: dict[str, float] = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as part:
            known |= dict(zip(part["keys"].tolist(), part["scores"].tolist(), strict=True))
    return known
