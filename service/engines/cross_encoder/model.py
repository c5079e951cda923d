"""A cross-encoder as its engine uses it: pairs in ids in, one logit each out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from contract.prompt import ContractError
from contract.truncation import position_count
from service.engines.whole import load_whole
from service.errors import ModelStoreError


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
        self.max_tokens: int = position_count(model)
        if self.dtype is not torch.float32:
            compute_head_in_float32(model)

    @classmethod
    def load(cls, folder: Path, *, dtype: str) -> CrossEncoderModel:
        """Load the model in `folder`; `dtype`: see `resolve_dtype`. Runs no code of it. Raise ModelStoreError."""
        advice = " as a cross-encoder; serve one made by limrank-train cross-encoder"
        model = load_whole(AutoModelForSequenceClassification, folder, advice, dtype=dtype)
        if model.config.num_labels != 1:
            raise ModelStoreError(
                f"{folder} has {model.config.num_labels} outputs, but a cross-encoder that reranks has one; "
                "serve another model."
            )
        try:
            return cls(model.eval().requires_grad_(False))
        except ContractError as error:
            raise ModelStoreError(f"{folder} cannot be served: {error}") from error

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


def compute_head_in_float32(model: Any) -> None:
    """Have everything behind the encoder's layers, pooling included, computed in float32: in a shorter format many
    pairs would get the same output."""
    body = model.base_model
    behind = [module for module in model.children() if module is not body]
    for module in (*behind, getattr(body, "pooler", None)):
        if module is not None and next(module.parameters(), None) is not None:
            module.float()
            module.register_forward_pre_hook(_to_float32, with_kwargs=True)


def _to_float32(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return tuple(map(_float32, args)), {name: _float32(value) for name, value in kwargs.items()}


def _float32(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
