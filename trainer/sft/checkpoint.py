"""The folder of a trained adapter: weights in float16, config, and what it states: the manifest of base and adapter
together, or list.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from contract.checkpoint.manifest import Manifest, tokenizer_sha256
from contract.checkpoint.model_config import adapter_config_of, config_of
from contract.listed.model import ListModel
from contract.segments import Segments
from trainer.sft.lora import save_lora


def write_adapter(folder: Path, model: Any, weights: Mapping[str, torch.Tensor], stated: Manifest | ListModel) -> None:
    """Writes the files that `limrank-train merge` and the service's embedded model read; `weights` are those of the
    whole adapter."""
    save_lora(model, folder, weights=weights, base_name=stated.base, dtype=torch.float16)
    if isinstance(stated, Manifest):
        stated = replace(stated, adapter=adapter_config_of(folder))
    stated.write(folder)


def adapter_manifest(
    base: Path,
    segments: Segments,
    *,
    name: str,
    data_sha256: str,
    licences: tuple[str, ...],
    recipe: str,
    scores: Mapping[str, object],
    temperature: float = 1.0,
) -> Manifest:
    """The manifest of base and adapter together; tokenizer and configuration are those of `base`."""
    return Manifest(
        kind="causal",
        format=segments.format,
        verdict_tokens=segments.verdict,
        tokenizer_sha256=tokenizer_sha256(base),
        temperature=temperature,
        base=name,
        data_sha256=data_sha256,
        licences=licences,
        recipe=recipe,
        scores=dict(scores),
        config=config_of(base),
    )
