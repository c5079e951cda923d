"""Unit vectors of texts by a BERT-like bi-encoder with mean pooling (all-MiniLM-L6-v2), cached on disk by content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoModel

Vectors = NDArray[np.float32]

MAX_TOKENS = 256
_TOKENS_AT_ONCE = 8192
_PART = 2048  # texts per file, so that an interrupted run loses a minute


class Encoder:
    """Encodes texts as float32 vectors of length 1, shape (texts, dimensions). Computes in bfloat16 on a CPU."""

    def __init__(self, folder: Path, cache: Path, *, max_tokens: int = MAX_TOKENS) -> None:
        """`folder` holds the model and its tokenizer.json. `cache` keeps computed vectors, so that a run resumes."""
        self._model = AutoModel.from_pretrained(folder, local_files_only=True, trust_remote_code=False).eval()
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.no_padding()
        with (folder / "model.safetensors").open("rb") as file:
            weights = hashlib.file_digest(file, "sha256").hexdigest()
        self._max_tokens = max_tokens
        self._cache = cache / f"{weights[:16]}-{max_tokens}"
        self._known = _read_cache(self._cache)

    def reads_whole(self, text: str) -> bool:
        """Whether the model reads the whole text without truncation."""
        return len(self._tokenizer.encode(text).ids) < self._max_tokens

    def __call__(self, texts: Sequence[str], report: Callable[[int, int], None] | None = None) -> Vectors:
        """Returns the vectors in the order of `texts`. Calls `report(done, total)` for those that are computed now."""
        keys = [_key(text) for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        by_length = sorted(new, key=lambda key: (len(new[key]), key))
        for start in range(0, len(by_length), _PART):
            part = by_length[start : start + _PART]
            vectors = self._encode([new[key] for key in part])
            _write_part(self._cache, part, vectors)
            self._known |= dict(zip(part, vectors, strict=True))
            if report is not None:
                report(min(start + _PART, len(by_length)), len(by_length))
        if not keys:
            return np.zeros((0, int(self._model.config.hidden_size)), np.float32)
        return np.stack([self._known[key] for key in keys])

    def _encode(self, texts: Sequence[str]) -> Vectors:
        encoded = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        found: list[Vectors] = []
        start = 0
        while start < len(encoded):
            stop, longest = start, 0
            while stop < len(encoded):
                longest = max(longest, len(encoded[stop]))
                if stop > start and longest * (stop - start + 1) > _TOKENS_AT_ONCE:
                    break
                stop += 1
            found.append(self._batch(encoded[start:stop]))
            start = stop
        return np.concatenate(found)

    def _batch(self, encoded: Sequence[Sequence[int]]) -> Vectors:
        longest = max(map(len, encoded))
        ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in encoded])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in encoded])
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        weights = mask.unsqueeze(-1).float()
        mean = (hidden * weights).sum(1) / weights.sum(1)
        vectors: Vectors = torch.nn.functional.normalize(mean, dim=1).numpy()
        return vectors


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _write_part(folder: Path, keys: Sequence[str], vectors: Vectors) -> None:
    """Writes one file of keys and vectors, named by its keys, atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_key(','.join(keys))}.npz"
    partial = path.with_name(f"{path.name}.part")
    with partial.open("wb") as file:
        np.savez(file, keys=np.array(keys), vectors=vectors)
    partial.replace(path)


def _read_cache(folder: Path) -> dict[str, Vectors]:
    known: dict[str, Vectors] = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as part:
            known |= dict(zip(part["keys"].tolist(), part["vectors"], strict=True))
    return known
