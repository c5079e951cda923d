"""The losses of groups, against numbers worked out by hand and their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainer.cross_encoder.loss import GroupLoss, binary_cross_entropy, lce

scores = st.lists(st.lists(st.floats(-20, 20), min_size=4, max_size=4), min_size=1, max_size=5)


def test_lce_is_the_cross_entropy_of_the_positive_among_its_group() -> None:
    first = math.log(math.exp(2) / (math.exp(2) + math.exp(1) + math.exp(0)))
    second = math.log(1 / 3)
    found = lce(torch.tensor([[2.0, 1.0, 0.0], [5.0, 5.0, 5.0]]))
    assert found.item() == pytest.approx(-(first + second) / 2, abs=1e-6)


@given(scores, st.floats(-10, 10))
def test_lce_leaves_open_where_zero_lies_and_cross_entropy_does_not(rows: list[list[float]], shift: float) -> None:
    table = torch.tensor(rows, dtype=torch.float64)
    assert lce(table + shift).item() == pytest.approx(lce(table).item(), abs=1e-9)
    even = torch.zeros(1, 4)
    assert binary_cross_entropy(even).item() == pytest.approx(math.log(2))
    assert binary_cross_entropy(even + 1).item() != pytest.approx(math.log(2), abs=1e-3)


def test_cross_entropy_counts_a_positive_as_much_as_all_its_negatives() -> None:
    table = torch.tensor([[1.0, -2.0, 0.5]])
    positive = -math.log(1 / (1 + math.exp(-1)))
    negatives = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(0.5))) / 2
    assert binary_cross_entropy(table).item() == pytest.approx((positive + negatives) / 2, abs=1e-6)


def test_the_gradient_raises_the_positive_and_lowers_the_hardest_negative_most() -> None:
    table = torch.tensor([[0.0, 1.0, -1.0]], requires_grad=True)
    lce(table).backward()  # type: ignore[no-untyped-call]
    assert table.grad is not None
    up, hard, easy = table.grad[0].tolist()
    assert up < 0 < easy < hard
    assert up + hard + easy == pytest.approx(0, abs=1e-6)


class _Echo(nn.Module):
    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"scores": inputs["input_ids"]}


@pytest.mark.parametrize(("loss", "anchor"), [("lce", 0.0), ("lce", 0.5), ("bce", 0.0)])
def test_a_batch_is_cut_into_its_groups(loss: str, anchor: float) -> None:
    table = torch.tensor([[3.0, 1.0, 0.0], [0.0, 2.0, 1.0]])
    found = GroupLoss(_Echo(), group_size=3, loss=loss, anchor=anchor)([{"input_ids": table.reshape(6, 1)}])
    expected = binary_cross_entropy(table) if loss == "bce" else lce(table) + anchor * binary_cross_entropy(table)
    assert found.item() == pytest.approx(expected.item())
