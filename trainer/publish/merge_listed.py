"""Merges the adapter of a setwise or listwise model into its base: a folder that `limrank-eval run --list-model`
measures. The service does not serve these models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from contract.checkpoint.manifest import tokenizer_sha256
from contract.listed.model import ListModel, ListModelError, read_list_model
from contract.listed.prompt import ListPrompt
from trainer.errors import BadBase, BadSettings
from trainer.publish.merging import merged, save_merged
from trainer.run.folder import save_whole
from trainer.settings import Merge
from trainer.sft.listed import load_prompt

_PROBE = (
    "How is gout treated?",
    ("Gout causes sudden pain in a joint.", "Gout is treated with colchicine.", "Bread is baked from flour."),
)


def merge_listed(settings: Merge, dtype: torch.dtype) -> None:
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
    whole = merged(settings, lambda model: _letters(model, prompt), "log-probabilities")
    save_whole(settings.out, lambda part: _write(part, whole.model.to(dtype), settings.base, stated))
    print(f"Merged into {settings.out}; log-probabilities changed by at most {whole.change:.1e} (float32).")  # noqa: T201


def _letters(model: Any, prompt: ListPrompt) -> list[float]:
    """The log-probabilities of the letters behind a fixed prompt."""
    query, passages = _PROBE
    ids, _ = prompt.ids(query, passages, None, 256)
    device = next(model.parameters()).device
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids], device=device), logits_to_keep=1).logits[0, -1].float()
    found: list[float] = torch.log_softmax(logits, -1)[list(prompt.letters[: len(passages)])].tolist()
    return found


def _write(folder: Path, model: Any, base: Path, stated: ListModel) -> None:
    save_merged(folder, model, base, stated.base)
    stated.write(folder)
