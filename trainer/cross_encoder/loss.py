"""Localized contrastive estimation (Gao, Dai and Callan 2021, "Rethink Training of BERT Rerankers in Multi-Stage
Retrieval Pipeline", arXiv 2101.08751), and binary cross-entropy for comparison.

Each query comes with one positive and n hard negatives; the loss is the cross-entropy of the positive among them. It
does not change when all scores of a group grow by the same amount, so by itself it leaves open where 0 lies. `anchor`
adds a little binary cross-entropy, which ties log-odds of 0 to an even chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def lce(scores: Tensor) -> Tensor:
    """Mean over groups of -log softmax(scores)[positive]. `scores`: (groups, 1 + n), the positive first."""
    return -torch.log_softmax(scores, dim=1)[:, 0].mean()


def binary_cross_entropy(scores: Tensor) -> Tensor:
    """Mean over groups of the cross-entropy of each pair's label, positives weighing as much as their negatives.

    `scores`: (groups, 1 + n) log-odds, the positive first.
    """
    positive = nn.functional.softplus(-scores[:, 0])
    negative = nn.functional.softplus(scores[:, 1:]).mean(dim=1)
    return 0.5 * (positive + negative).mean()


class GroupLoss(nn.Module):
    """The loss of a batch of groups, as sentence-transformers' trainer calls it."""

    def __init__(self, model: nn.Module, *, group_size: int, loss: str = "lce", anchor: float = 0.0) -> None:
        """`group_size` is 1 + n. `loss` is "lce" or "bce"; `anchor` is the share of cross-entropy added to LCE."""
        super().__init__()
        self.model = model
        self.group_size = group_size
        self.loss = loss
        self.anchor = anchor

    def forward(self, inputs: list[Mapping[str, Tensor]], labels: Tensor | None = None, **_: Any) -> Tensor:
        """`inputs[0]`: encoded pairs, the groups one after the other. Scores are compared in float32."""
        scores = self.model(dict(inputs[0]))["scores"].float().view(-1, self.group_size)
        if self.loss == "bce":
            return binary_cross_entropy(scores)
        return lce(scores) + self.anchor * binary_cross_entropy(scores) if self.anchor else lce(scores)
