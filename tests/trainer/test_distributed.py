"""Two processes train what one does (gloo here; the same launch with GPUs uses NCCL)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.trainer.running import cross_encoder_flags, sft_flags, start, train, weights

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "trainer.train")


@pytest.mark.parametrize("kind", ["sft", "cross-encoder"])
def test_two_processes_give_the_weights_of_one(
    kind: str, tiny_llama: Path, tiny_bert: Path, records_file: Path, groups_file: Path, tmp_path: Path
) -> None:
    """Dropout is off: each process draws its own. A step of eight is four a process instead of four twice."""
    if kind == "sft":
        one, two = (sft_flags(tiny_llama, records_file, tmp_path / name, dropout=0.0) for name in ("one", "two"))
        result = "adapter"
    else:
        one, two = (
            cross_encoder_flags(tiny_bert, groups_file, tmp_path / name, device_batch=count, dropout=0.0)
            for name, count in (("one", 6), ("two", 3))
        )
        result = "model"
    process = start(two, *TORCHRUN)
    train(one)
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 0, said
    expected, found = weights(tmp_path / "one" / result), weights(tmp_path / "two" / result)
    assert expected.keys() == found.keys()
    # A key's bias moves all scores of a softmax together, so its gradient is rounding alone, which Adam makes steps of.
    for name, tensor in ((name, tensor) for name, tensor in expected.items() if not name.endswith("key.bias")):
        assert torch.allclose(tensor.float(), found[name].float(), atol=2e-3), name
