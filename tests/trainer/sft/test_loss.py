"""The loss equals the plain one over all logits, whatever the padding, and logits stand only where they are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.trainer.examples import records
from trainer.sft.examples import Lengths, LossWeights, TrainingSequence, load_segments, sequences
from trainer.sft.loss import SequenceCollator, completion_loss


@pytest.fixture(scope="module")
def model(tiny_llama: Path) -> Any:
    loaded: Any = AutoModelForCausalLM.from_pretrained(tiny_llama)
    return loaded.eval()


@pytest.fixture(scope="module")
def batch(tiny_llama: Path) -> list[TrainingSequence]:
    return list(sequences(list(records(6)), load_segments(tiny_llama), Lengths(200), LossWeights(verdict=4.0)))


def rows(batch: list[TrainingSequence]) -> list[dict[str, Any]]:
    return [{"ids": list(one.ids), "weights": list(one.weights)} for one in batch]


def plain(model: Any, one: TrainingSequence) -> float:
    """Cross-entropy of each completion token from all logits of one sequence alone."""
    ids = torch.tensor([one.ids])
    with torch.no_grad():
        log_probabilities = torch.log_softmax(model(input_ids=ids).logits[0], dim=-1)
    start = one.prompt_tokens
    losses = [-log_probabilities[at - 1, one.ids[at]].item() for at in range(start, len(one.ids))]
    return sum(loss * weight for loss, weight in zip(losses, one.weights, strict=True))


def test_a_padded_batch_has_the_mean_of_the_plain_losses(model: Any, batch: list[TrainingSequence]) -> None:
    assert len({len(one.ids) for one in batch}) > 1
    with torch.no_grad():
        found = completion_loss(model, SequenceCollator(0)(rows(batch)))
    assert found.item() == pytest.approx(sum(plain(model, one) for one in batch) / len(batch), abs=1e-5)


def test_logits_are_computed_for_as_many_positions_as_the_longest_completion_has(
    model: Any, batch: list[TrainingSequence]
) -> None:
    positions: list[int] = []
    hook = model.get_output_embeddings().register_forward_hook(lambda _, __, out: positions.append(out.shape[1]))
    completion_loss(model, SequenceCollator(0)(rows(batch[:2])))
    hook.remove()
    assert positions == [max(len(one.weights) for one in batch[:2])]
    assert positions[0] < max(len(one.ids) for one in batch[:2]) / 2


def test_prompt_and_padding_have_no_gradient(model: Any, batch: list[TrainingSequence]) -> None:
    inputs = SequenceCollator(0)(rows(batch))
    assert (inputs["targets"] != -100).sum().item() == sum(len(one.weights) for one in batch)
    for row, one in enumerate(batch):
        trained = inputs["targets"][row][inputs["weights"][row] > 0].tolist()
        assert tuple(trained) == one.ids[one.prompt_tokens :]
