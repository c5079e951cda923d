"""What a dry run says of memory and time."""

from __future__ import annotations

import torch

from trainer.run_plan import heaviest, measure


def test_the_heaviest_batch_is_the_one_measured() -> None:
    assert heaviest([1, 2, 9, 1, 5], 2) == slice(2, 4)
    assert [1, 2, 9, 1, 50][heaviest([1, 2, 9, 1, 50], 2)] == [50], "a last batch that is not full"


def test_memory_and_speed_are_those_of_the_steps() -> None:
    kept: list[torch.Tensor] = []

    def step() -> int:
        if len(kept) < 8:
            kept.append(torch.ones(2**26))  # 256 MiB
        return 100

    found = measure(step, 0.5)
    assert len(kept) == 8
    assert found.tokens_per_second > 0
    if not torch.cuda.is_available():
        assert found.peak_bytes > 2**31, "all that was held at a time"
