"""What a dry run says of memory and time."""

from __future__ import annotations

import time

import pytest
import torch

from trainer.run.plan import heaviest, measure


def test_the_heaviest_batch_is_the_one_measured() -> None:
    assert heaviest([1, 2, 9, 1, 5], 2) == slice(2, 4)
    assert [1, 2, 9, 1, 50][heaviest([1, 2, 9, 1, 50], 2)] == [50], "a last batch that is not full"


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU it is the GPU's memory")
def test_memory_is_the_most_that_was_held_at_a_time() -> None:
    before = measure(lambda: 100, 0.01).peak_bytes
    wanted = before + 2**28
    taken = [wanted]

    def step() -> int:
        """The first, which only warms up, holds more than ever before for a moment."""
        if taken:
            torch.ones(taken.pop(), dtype=torch.uint8)
        return 100

    found = measure(step, 0.01)
    assert wanted < found.peak_bytes < 2 * wanted
    assert found.tokens_per_second > 0


def test_a_step_longer_than_the_time_for_measuring_is_measured_all_the_same() -> None:
    steps: list[int] = []

    def step() -> int:
        steps.append(1)
        time.sleep(0.05)
        return 100

    found = measure(step, 0.001)
    assert len(steps) == 2, "one to warm up, one measured"
    assert 0 < found.tokens_per_second <= 2000
