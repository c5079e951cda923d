"""Merges an adapter into its base, refuses a merge that changes what the model says, and saves the weights: for models
that score one passage and for those that rank lists."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.errors import BadBase
from trainer.settings import Merge
from trainer.sft.lora import load_base, load_lora

# Merged and unmerged models add the same numbers in another order; a larger change means another model.
TOLERANCE = 1e-4
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
)


@dataclass(frozen=True, slots=True)
class Merged:
    """The merged model in float32, what it said `before`, and the largest change since."""

    model: Any
    before: Sequence[float]
    change: float


def merged(settings: Merge, probe: Callable[[Any], Sequence[float]], probed: str) -> Merged:
    """Merges the adapter. `probe` asks a model for numbers, which `probed` names. Raises BadBase."""
    unmerged = load_lora(load_base(settings.base), settings.adapter).eval()
    before = probe(unmerged)
    try:
        model = unmerged.merge_and_unload(safe_merge=True)
    except ValueError as error:  # NaN or infinite weights
        raise BadBase(f"{settings.adapter} cannot be merged: {error}") from None
    change = largest_change(before, probe(model))
    if change > TOLERANCE:
        raise BadBase(
            f"Merging {settings.adapter} changes {probed} by {change:.1e}, more than {TOLERANCE:.0e}; the adapter "
            "cannot be merged into this base."
        )
    return Merged(model, before, change)


def largest_change(before: Sequence[float], after: Sequence[float]) -> float:
    """The largest change; infinite when a value is NaN or infinite."""
    changes = [abs(old - new) for old, new in zip(before, after, strict=True)]
    return max(changes) if all(map(math.isfinite, changes)) else math.inf


def save_merged(folder: Path, model: Any, base: Path, name: str) -> None:
    """Saves the weights and the tokenizer of `base`, under the name of the base."""
    model.config.name_or_path = name
    model.save_pretrained(folder)
    for file in _TOKENIZER_FILES:
        if (base / file).is_file():
            shutil.copyfile(base / file, folder / file)
