"""A cross-encoder as its engine uses it: pairs in ids in, one logit each out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging as transformers_logging

from service.engines.dtype import resolve_dtype
from service.errors import ModelStoreError

# These count positions from the padding id on, so that many are not for text.
_SHIFTED_POSITIONS = ("roberta", "xlm-roberta", "camembert")


@dataclass(frozen=True, slots=True)
class Pair:
    """`ids` of a query and a passage; those from `second` on have token type 1."""

    ids: Sequence[int]
    second: int

    @property
    def type_ids(self) -> list[int]:
        return [0] * self.second + [1] * (len(self.ids) - self.second)


class CrossEncoderModel:
    """An encoder with one output. Not to be used from two threads at a time."""

    def __init__(self, model: Any) -> None:
        config = model.config
        self._model = model
        self._pad = int(config.pad_token_id or 0)
        self._types = getattr(config, "type_vocab_size", 1) > 1
        self.dtype: torch.dtype = model.dtype
        shift = self._pad + 1 if config.model_type in _SHIFTED_POSITIONS else 0
        self.max_tokens: int = config.max_position_embeddings - shift

    @classmethod
    def load(cls, folder: Path, *, dtype: str) -> CrossEncoderModel:
        """Load the model in `folder`; `dtype`: see `resolve_dtype`. Runs no code of it. Raise ModelStoreError."""
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        transformers_logging.disable_default_handler()
        transformers_logging.enable_propagation()
        try:
            model: Any = AutoModelForSequenceClassification.from_pretrained(
                folder,
                dtype=resolve_dtype(dtype, folder),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
            )
        except (ValueError, RuntimeError) as error:
            raise ModelStoreError(
                f"transformers cannot load {folder} as a cross-encoder ({str(error).splitlines()[0]}); serve one made "
                "by limrank-train cross-encoder."
            ) from error
        if model.config.num_labels != 1:
            raise ModelStoreError(
                f"{folder} has {model.config.num_labels} outputs, but a cross-encoder that reranks has one; "
                "serve another model."
            )
        return cls(model.eval().requires_grad_(False))

    def logits(self, pairs: Sequence[Pair]) -> list[float]:
        """The output for each pair; all are computed together, padded to the longest (pairs, longest)."""
        longest = max(len(pair.ids) for pair in pairs)
        padding = [longest - len(pair.ids) for pair in pairs]
        inputs = {
            "input_ids": torch.tensor([[*pair.ids, *[self._pad] * n] for pair, n in zip(pairs, padding, strict=True)]),
            "attention_mask": torch.tensor([[1] * (longest - n) + [0] * n for n in padding]),
        }
        if self._types:
            inputs["token_type_ids"] = torch.tensor(
                [[*pair.type_ids, *[0] * n] for pair, n in zip(pairs, padding, strict=True)]
            )
        with torch.inference_mode():
            logits = self._model(**inputs).logits
        return [float(logit) for logit in logits.float().flatten()]
