"""The loss on completions: batches of sequences, and cross-entropy where a weight stands.

Logits are the dearest part of a small model with a large vocabulary, so they are computed only for the stretch of
positions that some sequence of the batch has a weight at (`logits_to_keep` of transformers).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_NOTHING = -100


class SequenceCollator:
    """Rows (ids, weights of the last of them) -> padded tensors, and the first position whose logits are needed."""

    def __init__(self, pad_id: int) -> None:
        self._pad_id = pad_id

    def __call__(self, features: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """`input_ids`, `attention_mask`: (batch, longest). `targets`, `weights`: (batch, longest - first)."""
        longest = max(len(one["ids"]) for one in features)
        first = min(len(one["ids"]) - len(one["weights"]) for one in features)
        ids = torch.full((len(features), longest), self._pad_id)
        mask = torch.zeros((len(features), longest), dtype=torch.long)
        weights = torch.zeros((len(features), longest))
        for row, one in enumerate(features):
            end = len(one["ids"])
            ids[row, :end] = torch.tensor(one["ids"])
            mask[row, :end] = 1
            weights[row, end - len(one["weights"]) : end] = torch.tensor(one["weights"])
        targets = torch.where(weights > 0, ids, _NOTHING)
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "targets": targets[:, first:],
            "weights": weights[:, first:],
        }


def completion_loss(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """The mean over sequences of the weighted cross-entropy of their completions, in float32."""
    targets, weights = inputs["targets"], inputs["weights"]
    longest = inputs["input_ids"].shape[1]
    # The logits that predict a token stand one position before it.
    keep = torch.arange(longest - targets.shape[1] - 1, longest - 1, device=targets.device)
    output = model(
        input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], logits_to_keep=keep, use_cache=False
    )
    losses = torch.nn.functional.cross_entropy(
        output.logits.float().transpose(1, 2), targets, reduction="none", ignore_index=_NOTHING
    )
    return (losses * weights).sum() / len(targets)
