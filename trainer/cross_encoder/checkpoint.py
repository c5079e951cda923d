"""The folder of a trained cross-encoder: weights, tokenizer and manifest; and the small form that is shipped."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder

from contract.checkpoint.cross_encoder_files import write_cross_encoder_files
from contract.checkpoint.manifest import Manifest, tokenizer_sha256
from contract.checkpoint.model_config import SIMILARITY_PREFIX, config_of
from contract.checkpoint.packaged import minilm
from retrieval.similarity_bert import is_frozen
from trainer.cross_encoder.model import network
from trainer.errors import BadRunFolder

# The tokenizer's files are copied byte for byte, because the manifest hashes tokenizer.json.
_TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt"),
    *("vocab.json", "merges.txt", "sentencepiece.bpe.model", "spm.model"),
)
EMBEDDINGS = "embeddings."


def write_checkpoint(folder: Path, model: CrossEncoder, base: Path, manifest: Manifest) -> None:
    """Writes a checkpoint that transformers, sentence-transformers and limrank-serve load, the latter two with the same
    scores (`contract.checkpoint.cross_encoder_files`). With a bi-encoder beside it, the libraries load it only where
    `retrieval.similarity_bert.register` was called."""
    inner = network(model)
    inner.save_pretrained(folder)
    for name in _TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
    write_cross_encoder_files(folder, manifest.temperature)
    replace(manifest, config=config_of(folder)).write(folder)


def cross_encoder_manifest(
    base: Path,
    *,
    name: str,
    temperature: float,
    data_sha256: str,
    licences: tuple[str, ...],
    recipe: str,
    scores: Mapping[str, object],
) -> Manifest:
    """The manifest of a cross-encoder that uses the tokenizer of `base`."""
    return Manifest(
        kind="cross-encoder",
        format=None,
        verdict_tokens=None,
        tokenizer_sha256=tokenizer_sha256(base),
        temperature=temperature,
        base=name,
        data_sha256=data_sha256,
        licences=licences,
        recipe=recipe,
        scores=dict(scores),
    )


def _check_bi_encoder(tensors: Mapping[str, torch.Tensor], checkpoint: Path) -> None:
    """Raises BadRunFolder for a bi-encoder that is not the package's, which the service puts in its place."""
    stayed = {
        f"encoder.{name.removeprefix(SIMILARITY_PREFIX)}": each for name, each in tensors.items() if is_frozen(name)
    }
    package = minilm()
    if not stayed or package is None:
        return
    known = load_file(package / "model.safetensors")
    if not all(torch.equal(tensor, known[name]) for name, tensor in stayed.items()):
        raise BadRunFolder(f"The bi-encoder of {checkpoint} is not {package.name}, so it cannot be left out.")


def write_small(folder: Path, checkpoint: Path) -> None:
    """Writes only the differences from the base: all weights except the embeddings and a bi-encoder that stayed as it
    was, in float16, and the manifest.

    About 21 MB for all-MiniLM-L6-v2, whose own package contains the embeddings and the tokenizer.
    """
    tensors = load_file(checkpoint / "model.safetensors")
    _check_bi_encoder(tensors, checkpoint)
    kept = {
        name: tensor.to(torch.float16).contiguous()
        for name, tensor in tensors.items()
        if f".{EMBEDDINGS}" not in name and not is_frozen(name)
    }
    save_file(kept, folder / "encoder.safetensors", metadata={"format": "pt"})
    for name in ("reranker.json", "config.json"):
        shutil.copyfile(checkpoint / name, folder / name)
