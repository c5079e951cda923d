"""Losses of a group against a teacher's scores of its passages: KL divergence over the list, and margin MSE.

Both depend only on differences between the scores of one group, so neither determines the zero point. The teacher is a
bi-encoder whose cosines, divided by a temperature, are compared to the student's log-odds.
"""

from __future__ import annotations

import torch
from torch import Tensor


def kl_to_teacher(scores: Tensor, teacher: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """KL(softmax(teacher / temperature) || softmax(scores)) of each group, shape (groups,).

    `scores` and `teacher`: (groups, longest), finite where `mask` is True; other values are ignored.
    """
    student = torch.log_softmax(_masked(scores, mask), dim=1)
    wanted = torch.log_softmax(_masked(teacher / temperature, mask), dim=1)
    terms = wanted.exp() * (wanted - student)
    return torch.where(mask, terms, torch.zeros_like(terms)).sum(dim=1)


def margin_mse(scores: Tensor, teacher: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """Mean over the pairs of a group of (student's margin - teacher's margin / temperature) squared, shape (groups,).

    Hofstätter et al. 2020 (arXiv 2010.02666) use the pairs of the positive; here all pairs count, because an unlabelled
    group has no positive. Arguments as in `kl_to_teacher`; a group of one passage gives 0.
    """
    zero = torch.zeros_like(scores)
    difference = torch.where(mask, scores - teacher / temperature, zero)
    count = mask.sum(dim=1).clamp(min=1).to(scores.dtype)
    centred = torch.where(mask, difference - (difference.sum(dim=1) / count).unsqueeze(1), zero)
    pairs = (count - 1).clamp(min=1)
    return 2 * centred.square().sum(dim=1) / pairs  # the mean over pairs of (d_i - d_j)^2 is twice the sample variance


def _masked(table: Tensor, mask: Tensor) -> Tensor:
    return table.masked_fill(~mask, torch.finfo(table.dtype).min)
