"""A cross-encoder as its engine uses it: encoded pairs in, log-odds out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging as transformers_logging

from contract.pairs import Pair
from service.engines.dtype import resolve_dtype
from service.models.checkpoint import ModelStoreError

# These count positions from the padding id on, so that many are not for text.
_SHIFTED_POSITIONS = ("roberta", "xlm-roberta", "camembert")


class CrossEncoderModel:
    """An encoder with one output. Not to be used from two threads at a time."""

    def __init__(self, model: Any, temperature: float = 1.0) -> None:
        config = model.config
        self._model = model
        self._temperature = temperature
        self._pad = int(config.pad_token_id or 0)
        self._types = getattr(config, "type_vocab_size", 1) > 1
        self.dtype: torch.dtype = model.dtype
        shift = self._pad + 1 if config.model_type in _SHIFTED_POSITIONS else 0
        self.max_tokens: int = config.max_position_embeddings - shift

    @classmethod
    def load(cls, folder: Path, *, dtype: str, temperature: float) -> CrossEncoderModel:
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
        return cls(model.eval().requires_grad_(False), temperature)

    def log_odds(self, pairs: Sequence[Pair]) -> list[float]:
        """The log-odds of each pair; all are computed together, padded to the longest."""
        longest = max(len(pair.ids) for pair in pairs)
        inputs = {
            "input_ids": torch.tensor([[*pair.ids, *[self._pad] * (longest - len(pair.ids))] for pair in pairs]),
            "attention_mask": torch.tensor([[1] * len(pair.ids) + [0] * (longest - len(pair.ids)) for pair in pairs]),
        }
        if self._types:
            inputs["token_type_ids"] = torch.tensor(
                [[*pair.type_ids, *[0] * (longest - len(pair.ids))] for pair in pairs]
            )
        with torch.inference_mode():
            logits = self._model(**inputs).logits
        return [float(one) / self._temperature for one in logits.float().flatten()]
