"""Localized contrastive estimation (Gao, Dai and Callan 2021, "Rethink Training of BERT Rerankers in Multi-Stage
Retrieval Pipeline", arXiv 2101.08751), and binary cross-entropy for comparison.

Each query has one positive and n hard negatives; the loss is the cross-entropy of the positive among them. It does not
change when all scores of a group shift by the same amount, so it leaves the zero point open. `anchor` adds a little
binary cross-entropy, which ties log-odds of 0 to an even chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainer.cross_encoder.teacher_loss import kl_to_teacher, margin_mse

_PAIRS_AT_ONCE = 4  # on a CPU; more are slower (docs/lab-log.md, 2026-11-29)
GROUP_INPUTS = ("sizes", "labelled", "teacher")  # a batch's information on its groups, beside the encoded pairs


def lce(scores: Tensor) -> Tensor:
    """Mean over groups of -log softmax(scores)[positive]. `scores`: (groups, 1 + n), the positive first."""
    return group_lce(scores).mean()


def group_lce(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """The same for each group, shape (groups,). `mask`, of the shape of `scores`, is False after the end of a group."""
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return -torch.log_softmax(scores, dim=1)[:, 0]


def binary_cross_entropy(scores: Tensor) -> Tensor:
    """Mean over groups of the cross-entropy of each pair's label; the positive weighs as much as all its negatives.

    `scores`: (groups, 1 + n) log-odds, the positive first.
    """
    return group_binary_cross_entropy(scores).mean()


def group_binary_cross_entropy(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """The same for each group, shape (groups,). `mask` as in `group_lce`; a group needs one negative."""
    kept = torch.ones_like(scores[:, 1:]) if mask is None else mask[:, 1:].to(scores.dtype)
    positive = nn.functional.softplus(-scores[:, 0])
    negative = (nn.functional.softplus(scores[:, 1:]) * kept).sum(dim=1) / kept.sum(dim=1)
    return 0.5 * (positive + negative)


def by_length(model: nn.Module, pairs: Mapping[str, Tensor]) -> Tensor:
    """The scores of padded pairs in float32, shape (pairs,). On a CPU, pairs of similar length are computed together, a
    few at a time and without the padding that the longest of all needs."""
    mask = pairs.get("attention_mask")
    if mask is None or mask.device.type != "cpu":
        return _scores(model, pairs)
    lengths = mask.sum(dim=1)
    order = lengths.argsort()
    found = []
    for chosen in torch.split(order, _PAIRS_AT_ONCE):
        longest = int(lengths[chosen[-1]])
        found.append(_scores(model, {name: tensor[chosen, :longest] for name, tensor in pairs.items()}))
    return torch.cat(found)[order.argsort()]


def _scores(model: nn.Module, pairs: Mapping[str, Tensor]) -> Tensor:
    scores: Tensor = model(dict(pairs))["scores"]
    return scores.float().flatten()


@dataclass(frozen=True, slots=True)
class TeacherTerms:
    """The weights of a teacher's scores: `weight` for groups without a positive, `labelled_weight` for those with
    one."""

    weight: float = 0.0
    labelled_weight: float = 0.0
    loss: str = "kl"
    temperature: float = 0.07

    def __call__(self, scores: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        """The unweighted loss of each group, shape (groups,)."""
        function = kl_to_teacher if self.loss == "kl" else margin_mse
        return function(scores, teacher, mask, self.temperature)


class GroupLoss(nn.Module):
    """The loss of a batch of groups, as sentence-transformers' trainer calls it."""

    def __init__(
        self,
        model: nn.Module,
        *,
        group_size: int = 0,
        loss: str = "lce",
        anchor: float = 0.0,
        teacher: TeacherTerms | None = None,
    ) -> None:
        """`loss` is "lce" or "bce"; `anchor` is the share of cross-entropy added to LCE. `group_size` is 1 + n when all
        groups have one size and the batch does not state the sizes."""
        super().__init__()
        self.model = model
        self.group_size = group_size
        self.loss = loss
        self.anchor = anchor
        self.teacher = teacher

    def forward(self, inputs: list[Mapping[str, Tensor]], labels: Tensor | None = None, **_: Any) -> Tensor:
        """`inputs[0]` holds the encoded pairs, group after group, and the collator's `sizes` (groups,), `labelled`
        (groups,) and `teacher` (pairs,), which is NaN when there is none. Every group has the same weight. Scores are
        compared in float32."""
        pairs = dict(inputs[0])
        sizes, labelled, teacher = (pairs.pop(name, None) for name in GROUP_INPUTS)
        scores = by_length(self.model, pairs)
        if sizes is None or labelled is None or teacher is None:
            return self._labelled(scores.view(-1, self.group_size), None).mean()
        mask = torch.arange(int(sizes.max()), device=scores.device) < sizes.unsqueeze(1)
        table = torch.zeros(mask.shape, device=scores.device).masked_scatter(mask, scores)
        total = torch.where(labelled, self._labelled(table, mask), torch.zeros_like(table[:, 0]))
        if self.teacher is not None:
            total = total + self._taught(self.teacher, table, teacher, mask, labelled)
        return total.mean()

    def _labelled(self, table: Tensor, mask: Tensor | None) -> Tensor:
        """The loss of each group by its positive, which is the first passage."""
        if self.loss == "bce":
            return group_binary_cross_entropy(table, mask)
        found = group_lce(table, mask)
        return found + self.anchor * group_binary_cross_entropy(table, mask) if self.anchor else found

    def _taught(self, terms: TeacherTerms, table: Tensor, teacher: Tensor, mask: Tensor, labelled: Tensor) -> Tensor:
        """The weighted loss of each group by its teacher; 0 without one."""
        wanted = torch.zeros_like(table).masked_scatter(mask, teacher.to(table.dtype))
        known = ~wanted.isnan().any(dim=1)
        weights = torch.where(labelled, terms.labelled_weight, terms.weight) * known
        return weights * terms(table, wanted.nan_to_num(), mask)
