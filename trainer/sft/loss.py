"""The loss on completions: batches of sequences, and weighted cross-entropy.

Logits are the most expensive part of a small model with a large vocabulary. Sequences are padded in front, so that all
completions end at the same position, and logits are computed for the positions of the longest completion only
(`logits_to_keep` of transformers).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_NOTHING = -100


class SequenceCollator:
    """Turns rows (ids, and weights of the last of them) into tensors padded in front."""

    def __init__(self, pad_id: int) -> None:
        self._pad_id = pad_id

    def __call__(self, features: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """`input_ids`, `attention_mask`, `position_ids`: (batch, longest). `targets`, `weights`: (batch, longest
        completion)."""
        longest = max(len(sequence["ids"]) for sequence in features)
        completion = max(len(sequence["weights"]) for sequence in features)
        ids = torch.full((len(features), longest), self._pad_id)
        positions = torch.zeros((len(features), longest), dtype=torch.long)
        mask = torch.zeros((len(features), longest), dtype=torch.long)
        weights = torch.zeros((len(features), completion))
        for row, sequence in enumerate(features):
            length = len(sequence["ids"])
            ids[row, longest - length :] = torch.tensor(sequence["ids"])
            positions[row, longest - length :] = torch.arange(length)
            mask[row, longest - length :] = 1
            weights[row, completion - len(sequence["weights"]) :] = torch.tensor(sequence["weights"])
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": positions,
            "targets": torch.where(weights > 0, ids[:, longest - completion :], _NOTHING),
            "weights": weights,
        }


def completion_loss(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """The mean over sequences of the weighted cross-entropy of their completions, in float32."""
    targets, weights = inputs["targets"], inputs["weights"]
    longest = inputs["input_ids"].shape[1]
    # The logits that predict a token are one position before it.
    keep = torch.arange(longest - targets.shape[1] - 1, longest - 1, device=targets.device)
    read = {name: inputs[name] for name in ("input_ids", "attention_mask", "position_ids")}
    output = model(**read, logits_to_keep=keep, use_cache=False)
    losses = torch.nn.functional.cross_entropy(
        output.logits.float().flatten(0, 1), targets.flatten(), reduction="none", ignore_index=_NOTHING
    )
    return (losses * weights.flatten()).sum() / len(targets)
