"""The losses against a teacher's scores: their definitions, written out in plain Python."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainer.cross_encoder.loss import (
    GroupLoss,
    TeacherTerms,
    binary_cross_entropy,
    by_length,
    group_binary_cross_entropy,
    group_lce,
    lce,
)
from trainer.cross_encoder.teacher_loss import kl_to_teacher, margin_mse

number = st.floats(-8, 8)
group = st.lists(st.tuples(number, st.floats(-1, 1)), min_size=2, max_size=6)  # score and cosine of each passage
batch = st.lists(group, min_size=1, max_size=5)


def table(groups: list[list[tuple[float, float]]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores, teacher's scores and mask; what is padded holds numbers that would show."""
    longest = max(map(len, groups))
    scores = [[s for s, _ in row] + [99.0] * (longest - len(row)) for row in groups]
    teacher = [[t for _, t in row] + [-77.0] * (longest - len(row)) for row in groups]
    mask = [[True] * len(row) + [False] * (longest - len(row)) for row in groups]
    return torch.tensor(scores, dtype=torch.float64), torch.tensor(teacher, dtype=torch.float64), torch.tensor(mask)


def softmax(values: list[float]) -> list[float]:
    top = max(values)
    powers = [math.exp(value - top) for value in values]
    return [power / sum(powers) for power in powers]


@given(batch, st.sampled_from([0.05, 0.07, 1.0]))
def test_kl_is_its_definition_for_groups_of_unequal_size(
    groups: list[list[tuple[float, float]]], temperature: float
) -> None:
    found = kl_to_teacher(*table(groups), temperature)
    for row, value in zip(groups, found.tolist(), strict=True):
        student = softmax([s for s, _ in row])
        wanted = softmax([t / temperature for _, t in row])
        expected = sum(w * (math.log(w) - math.log(s)) for w, s in zip(wanted, student, strict=True) if w > 1e-300)
        assert value == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(batch, st.sampled_from([0.07, 1.0]))
def test_margin_mse_is_the_mean_over_pairs(groups: list[list[tuple[float, float]]], temperature: float) -> None:
    found = margin_mse(*table(groups), temperature)
    for row, value in zip(groups, found.tolist(), strict=True):
        errors = [((a[0] - b[0]) - (a[1] - b[1]) / temperature) ** 2 for a, b in combinations(row, 2)]
        assert value == pytest.approx(sum(errors) / len(errors), rel=1e-6, abs=1e-9)


@given(batch, st.floats(-5, 5))
def test_both_leave_open_where_zero_lies_and_vanish_where_the_student_agrees(
    groups: list[list[tuple[float, float]]], shift: float
) -> None:
    scores, teacher, mask = table(groups)
    for loss in (kl_to_teacher, margin_mse):
        assert torch.allclose(loss(scores + shift, teacher, mask, 0.5), loss(scores, teacher, mask, 0.5), atol=1e-6)
        agreed = torch.where(mask, teacher / 0.5 + shift, scores)
        assert loss(agreed, teacher, mask, 0.5).abs().max().item() == pytest.approx(0, abs=1e-9)
        assert loss(scores, teacher, mask, 0.5).min().item() >= -1e-9


def test_padding_has_no_gradient() -> None:
    scores, teacher, mask = table([[(1.0, 0.5), (2.0, 0.1), (0.0, 0.7)], [(1.0, 0.2), (3.0, 0.4)]])
    for loss in (kl_to_teacher, margin_mse):
        given = scores.clone().requires_grad_()
        loss(given, teacher, mask, 0.07).sum().backward()  # type: ignore[no-untyped-call]
        assert given.grad is not None
        assert given.grad[1, 2].item() == 0
        assert given.grad[mask].abs().min().item() > 0


@given(batch)
def test_labelled_losses_of_unequal_groups_are_those_of_each_alone(groups: list[list[tuple[float, float]]]) -> None:
    scores, _, mask = table(groups)
    for row, one, other in zip(
        groups, group_lce(scores, mask).tolist(), group_binary_cross_entropy(scores, mask).tolist(), strict=True
    ):
        alone = torch.tensor([[s for s, _ in row]], dtype=torch.float64)
        assert one == pytest.approx(lce(alone).item(), abs=1e-9)
        assert other == pytest.approx(binary_cross_entropy(alone).item(), abs=1e-9)


class _Sum(nn.Module):
    """A score that depends on a pair's own tokens and on nothing else; it counts what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = 0

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        assert set(inputs) == {"input_ids", "attention_mask"}
        self.tokens += inputs["input_ids"].numel()
        return {"scores": (inputs["input_ids"] * inputs["attention_mask"]).sum(dim=1, keepdim=True).float() / 10}


def pairs(rows: list[list[int]]) -> dict[str, torch.Tensor]:
    longest = max(map(len, rows))
    return {
        "input_ids": torch.tensor([row + [0] * (longest - len(row)) for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
    }


def test_pairs_are_computed_by_length_and_come_back_in_their_order() -> None:
    rows = [[number] * (1 + (number * 7) % 40) for number in range(1, 60)]
    model = _Sum()
    found = by_length(model, pairs(rows))
    assert found.tolist() == pytest.approx([sum(row) / 10 for row in rows])
    assert model.tokens < 0.7 * len(rows) * 40


@pytest.mark.parametrize("kind", ["kl", "margin-mse"])
def test_a_batch_mixes_labelled_unlabelled_and_untaught_groups(kind: str) -> None:
    rows = [[3], [1], [0], [2, 2], [5], [1, 1], [4]]
    batch = pairs(rows) | {
        "sizes": torch.tensor([3, 2, 2]),
        "labelled": torch.tensor([True, False, True]),
        "teacher": torch.tensor([0.5, 0.2, 0.1, 0.3, 0.6, math.nan, math.nan]),
    }
    terms = TeacherTerms(weight=0.8, labelled_weight=0.25, loss=kind, temperature=0.1)
    found = GroupLoss(_Sum(), anchor=0.1, teacher=terms)([batch])
    scores = [torch.tensor([[sum(row) / 10 for row in part]]) for part in (rows[:3], rows[3:5], rows[5:])]
    loss = kl_to_teacher if kind == "kl" else margin_mse

    def taught(row: torch.Tensor, teacher: list[float]) -> float:
        return loss(row, torch.tensor([teacher]), torch.ones_like(row, dtype=torch.bool), 0.1).item()

    first = lce(scores[0]) + 0.1 * binary_cross_entropy(scores[0]) + 0.25 * taught(scores[0], [0.5, 0.2, 0.1])
    second = 0.8 * taught(scores[1], [0.3, 0.6])
    third = lce(scores[2]) + 0.1 * binary_cross_entropy(scores[2])
    assert found.item() == pytest.approx((first + second + third).item() / 3, abs=1e-6)
