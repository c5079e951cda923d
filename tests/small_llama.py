"""Folders of small Llama models that the service takes for checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.shapes import write_shape
from contract.checkpoint.manifest import read_manifest


def write_llama(
    folder: Path, shape: dict[str, Any], tokenizer: Path, change: Callable[[Any], None] | None = None
) -> Path:
    """Writes one of random numbers, as `change` leaves them, into `folder`, which is created. `tokenizer`: a
    tokenizer.json."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    write_shape(folder, shape, tokenizer)
    torch.manual_seed(1)
    config: Any = LlamaConfig.from_pretrained(folder)
    model: Any = LlamaForCausalLM(config)  # type: ignore[no-untyped-call]
    if change is not None:
        with torch.no_grad():
            change(model)
    model.save_pretrained(folder)
    manifest = read_manifest(folder)
    assert manifest is not None
    manifest.write(folder)  # of the weights, too
    return folder
