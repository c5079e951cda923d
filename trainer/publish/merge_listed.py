"""Merges the adapter of a setwise or listwise model into its base: a folder that `limrank-eval run --list-model`
measures. The service does not serve these models."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from contract.checkpoint.manifest import tokenizer_sha256
from contract.listed.model import ListModel, ListModelError, read_list_model
from contract.listed.prompt import ListPrompt
from trainer.errors import BadBase, BadSettings
from trainer.run.folder import save_whole
from trainer.settings import Merge
from trainer.sft.listed import load_prompt
from trainer.sft.lora import load_base, load_lora

# As for models that score one passage: merged and unmerged ones add the same numbers in another order.
TOLERANCE = 1e-4
_PROBE = (
    "How is gout treated?",
    ("Gout causes sudden pain in a joint.", "Gout is treated with colchicine.", "Bread is baked from flour."),
)


def merge_listed(settings: Merge, dtype: torch.dtype, tokenizer_files: tuple[str, ...]) -> None:
    """Writes the merged model to `settings.out`, or nothing. Raises TrainError."""
    if settings.dev is not None or settings.results:
        raise BadSettings(f"{settings.adapter} ranks lists; --dev and --results are for models that score a passage.")
    try:
        stated = read_list_model(settings.adapter)
    except ListModelError as error:
        raise BadBase(str(error)) from None
    if tokenizer_sha256(settings.base) != stated.tokenizer_sha256:
        raise BadBase(
            f"{settings.adapter} was trained with another tokenizer than that of {settings.base}; take the base it was "
            f"trained on, {stated.base}."
        )
    prompt = load_prompt(settings.base, stated.kind)
    unmerged = load_lora(load_base(settings.base), settings.adapter).eval()
    before = _letters(unmerged, prompt)
    try:
        model = unmerged.merge_and_unload(safe_merge=True)
    except ValueError as error:  # NaN or infinite weights
        raise BadBase(f"{settings.adapter} cannot be merged: {error}") from None
    change = float((before - _letters(model, prompt)).abs().max())
    if not change <= TOLERANCE:
        raise BadBase(
            f"Merging {settings.adapter} changes log-probabilities by {change:.1e}, more than {TOLERANCE:.0e}; the "
            "adapter cannot be merged into this base."
        )
    save_whole(settings.out, lambda part: _write(part, model.to(dtype), settings.base, stated, tokenizer_files))
    print(f"Merged into {settings.out}; log-probabilities changed by at most {change:.1e} (float32).")  # noqa: T201


def _letters(model: Any, prompt: ListPrompt) -> torch.Tensor:
    """The log-probabilities of the letters behind a fixed prompt."""
    query, passages = _PROBE
    ids, _ = prompt.ids(query, passages, None, 256)
    device = next(model.parameters()).device
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids], device=device), logits_to_keep=1).logits[0, -1].float()
    return torch.log_softmax(logits, -1)[list(prompt.letters[: len(passages)])]


def _write(folder: Path, model: Any, base: Path, stated: ListModel, tokenizer_files: tuple[str, ...]) -> None:
    model.config.name_or_path = stated.base
    model.save_pretrained(folder)
    for name in tokenizer_files:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
    stated.write(folder)
