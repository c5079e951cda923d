"""Several processes train what one does (gloo here; the same launch with GPUs uses NCCL)."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import Popen

import pytest
import torch

from tests.evaluation.small_data import beir_folder
from tests.ports import free_port
from tests.trainer.running import cross_encoder_flags, sft_flags, start, train, weights
from tests.waiting import PATIENCE

TORCHRUN = ("-m", "torch.distributed.run")
FORKED = ("-m", "tests.trainer.forked_torchrun")


@pytest.mark.parametrize("kind", ["sft", "cross-encoder"])
def test_two_processes_give_the_weights_of_one(
    kind: str, tiny_llama: Path, tiny_bert: Path, records_file: Path, groups_file: Path, tmp_path: Path
) -> None:
    """Dropout is off: each process draws its own. A step of eight is four a process instead of four twice."""
    if kind == "sft":
        one, two = (sft_flags(tiny_llama, records_file, tmp_path / name, dropout=0.0) for name in ("one", "two"))
        result, torchrun = "adapter", TORCHRUN
    else:
        one, two = (
            cross_encoder_flags(tiny_bert, groups_file, tmp_path / name, device_batch=count, dropout=0.0)
            for name, count in (("one", 6), ("two", 3))
        )
        result, torchrun = "model", FORKED
    process = start(two, *torchrun, "--standalone", "--nproc-per-node=2", "-m", "trainer.train")
    train(one)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    expected, found = weights(tmp_path / "one" / result), weights(tmp_path / "two" / result)
    assert expected.keys() == found.keys()
    # A key's bias moves all scores of a softmax together, so its gradient is rounding alone, which Adam makes steps of.
    for name, tensor in ((name, tensor) for name, tensor in expected.items() if not name.endswith("key.bias")):
        assert torch.allclose(tensor.float(), found[name].float(), atol=2e-3), name


def test_two_nodes_with_a_shared_folder_give_the_weights_of_one(
    tiny_llama: Path, records_file: Path, tmp_path: Path
) -> None:
    """Each node has its own torchrun, as docs/trainer.md has them; here both are on this machine."""
    one, two = (sft_flags(tiny_llama, records_file, tmp_path / name, dropout=0.0) for name in ("one", "two"))
    meeting = f"--rdzv-endpoint=127.0.0.1:{free_port()}"
    launch = (*FORKED, "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", meeting)
    nodes = [start(two, *launch, "-m", "trainer.train") for _ in range(2)]
    train(one)
    for node in nodes:
        _ended(node)
    _same_adapters(tmp_path / "one", tmp_path / "two", atol=2e-3)
    assert len((tmp_path / "two" / "legs.jsonl").read_text().splitlines()) == 1


# torch's FSDP over gloo on CPUs, which nothing but this test uses, has once crashed by itself in some twenty runs.
@pytest.mark.flaky(reruns=2, only_rerun=[r"\(SIGSEGV\)"])
def test_spread_weights_are_trained_scored_and_put_together(
    tiny_llama: Path, records_file: Path, tmp_path: Path
) -> None:
    """Two processes with half of each weight, in two legs: the second goes on from the first one's checkpoint."""
    dev = beir_folder(tmp_path / "dev", split="dev")
    flags = {"dropout": 0.0, "dev": dev, "dev_trace_tokens": 6}
    words = ["--dev-modes", "direct", "--dev-modes", "reasoning"]
    one = sft_flags(tiny_llama, records_file, tmp_path / "one", **flags) + words
    spread = (
        sft_flags(tiny_llama, records_file, tmp_path / "spread", **flags)
        + words
        + ["--fsdp", "--gradient-checkpointing"]
    )
    launch = (*FORKED, "--standalone", "--nproc-per-node=2", "-m", "tests.trainer.fsdp_on_cpus")
    for limit in (["--leg-minutes", "0.0001"], []):
        said, _ = (process := start(spread + limit, *launch)).communicate(timeout=PATIENCE)
        assert process.returncode == 0, said
    train(one)
    _same_adapters(tmp_path / "one", tmp_path / "spread", atol=5e-3)
    legs = [json.loads(line) for line in (tmp_path / "spread" / "legs.jsonl").read_text().splitlines()]
    assert [(leg["ended"], leg["step"]) for leg in legs] == [("time", 1), ("finished", 6)]
    assert all({"direct", "reasoning"} < leg["dev"].keys() for leg in legs)


def test_a_signal_to_one_process_ends_the_leg_of_all_at_the_same_step(
    tiny_llama: Path, records_file: Path, tmp_path: Path
) -> None:
    """The run then goes on, in one process here, to the weights it would have had."""
    one, two = (sft_flags(tiny_llama, records_file, tmp_path / name, dropout=0.0) for name in ("one", "two"))
    process = start(two, *FORKED, "--standalone", "--nproc-per-node=2", "-m", "tests.trainer.told_alone")
    train(one)
    _ended(process)
    assert [path.name for path in (tmp_path / "two" / "checkpoints").glob("checkpoint-*")] == ["checkpoint-2"]
    left = {path.name for path in (tmp_path / "two" / "checkpoints" / "checkpoint-2").iterdir()}
    assert {"complete.json", "rng_state_0.pth", "rng_state_1.pth"} < left
    train(two)
    legs = [json.loads(line) for line in (tmp_path / "two" / "legs.jsonl").read_text().splitlines()]
    assert [(leg["ended"], leg["step"]) for leg in legs] == [("signal", 2), ("finished", 6)]
    _same_adapters(tmp_path / "one", tmp_path / "two", atol=2e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_weights_are_spread_over_gpus(tiny_llama: Path, records_file: Path, tmp_path: Path) -> None:
    """The paper's config in small, on all GPUs of the machine."""
    flags = sft_flags(tiny_llama, records_file, tmp_path / "run", precision="bfloat16", device_batch=1)
    count = torch.cuda.device_count()
    launch = (*TORCHRUN, "--standalone", f"--nproc-per-node={count}", "-m", "trainer.train")
    said, _ = (process := start([*flags, "--gradient-checkpointing", "--fsdp"], *launch, gpus=True)).communicate(
        timeout=PATIENCE
    )
    assert process.returncode == 0, said
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert weights(tmp_path / "run" / "adapter")


def _ended(process: Popen[str]) -> None:
    """Fails the test unless the processes end well, and soon: they may wait for each other for ever."""
    try:
        said, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.terminate()
    assert process.returncode == 0, said


def _same_adapters(one: Path, other: Path, *, atol: float) -> None:
    expected, found = weights(one / "adapter"), weights(other / "adapter")
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.allclose(tensor.float(), found[name].float(), atol=atol), name
