"""Merges a LoRA adapter into a model folder. The only module of the service that imports peft."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from contract.files import replacing
from service.errors import ModelStoreError

MERGE_STEPS = 4


def merge_adapter(folder: Path, adapter: Path, advanced: Callable[[], None] = lambda: None) -> None:
    """Adds the adapter's deltas to `folder`/model.safetensors, in float32; the other files are left unchanged.
    `advanced` is called after each of MERGE_STEPS: base loaded, adapter loaded, merged, written.

    Raises ModelStoreError for an adapter that does not fit the model or that unties its output layer, and OSError if
    the folder cannot be written.
    """
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    advanced()
    try:
        model = PeftModel.from_pretrained(base, str(adapter))
        _check_all_used(model, adapter)
        advanced()
        weights = model.merge_and_unload(safe_merge=True).state_dict()
    except Exception as error:  # whatever a wrong adapter_config.json makes the library raise
        raise ModelStoreError(f"The adapter {adapter} does not fit its base model: {_first_line(error)}.") from error
    advanced()
    if weights.pop("lm_head.weight").data_ptr() != weights["model.embed_tokens.weight"].data_ptr():
        raise ModelStoreError(
            f"The adapter {adapter} changes the output layer, which this model shares with its embeddings; "
            "train it without lm_head and embed_tokens."
        )
    _replace(folder / "model.safetensors", weights)
    advanced()


def _check_all_used(model: PeftModel, adapter: Path) -> None:
    """Raises ValueError if peft dropped tensors: the merged model would not be the one that was trained."""
    with safe_open(adapter / "adapter_model.safetensors", framework="pt") as file:
        saved = set(file.keys())
    used = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if saved != used:
        raise ValueError(f"the tensors {', '.join(sorted(saved ^ used)[:2])} ... stand only on one side.")


def _first_line(error: Exception) -> str:
    """Returns the first two lines: torch's errors give the reason there and then a line for every tensor."""
    return " ".join(line.strip() for line in (str(error) or type(error).__name__).splitlines()[:2]).rstrip(".")


def _replace(path: Path, weights: dict[str, torch.Tensor]) -> None:
    """Writes a new file and renames it: the tensors may still be mapped from the file that is replaced."""
    with replacing(path) as part:
        try:
            save_file({name: tensor.contiguous() for name, tensor in weights.items()}, part, metadata={"format": "pt"})
        except SafetensorError as error:  # how the library reports a full disk
            raise OSError(str(error)) from error
