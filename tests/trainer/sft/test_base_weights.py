"""The base in bfloat16 or 4 bits: what is trained is the adapter, and less memory is planned for."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
import torch

from tests.evaluation.small_data import beir_folder
from tests.trainer.running import sft_flags, train, weights
from trainer.cli import run
from trainer.sft.lora import add_lora, base_bytes, load_base, parameter_counts

INSTALLED = importlib.util.find_spec("bitsandbytes") is not None
FORMATS = [
    "bfloat16",
    pytest.param("4bit", marks=pytest.mark.skipif(not INSTALLED, reason="the extra qlora is not installed")),
]


def trained(base: Path, data: Path, folder: Path, base_weights: str, *words: str) -> None:
    """A run that learns, with a result that fits the whole base."""
    flags = sft_flags(base, data, folder, base_weights=base_weights, epochs=2, dropout=0.0)
    train([*flags, *words])
    losses = [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])
    assert all(torch.isfinite(tensor).all() for tensor in weights(folder / "adapter").values())
    stated = json.loads((folder / "adapter" / "reranker.json").read_text())
    assert f"the base in {base_weights}" in stated["recipe"]
    train(["merge", "--base", str(base), "--adapter", str(folder / "adapter"), "--out", str(folder / "merged")])


@pytest.mark.parametrize("base_weights", FORMATS)
def test_an_adapter_is_trained_on_a_smaller_base(
    base_weights: str, tiny_llama: Path, records_file: Path, tmp_path: Path
) -> None:
    trained(tiny_llama, records_file, tmp_path / "run", base_weights)


def test_a_smaller_base_is_as_it_was_after_a_dev_score(tiny_llama: Path, records_file: Path, tmp_path: Path) -> None:
    """Merged into bfloat16 for a moment and taken out again, the adapter would leave other weights."""
    dev = str(beir_folder(tmp_path / "dev", split="dev"))
    trained(tiny_llama, records_file, tmp_path / "run", "bfloat16", "--dev", dev)


@pytest.mark.gpu
@pytest.mark.skipif(not (INSTALLED and torch.cuda.is_available()), reason="there is no GPU, or no bitsandbytes")
def test_four_bits_on_a_gpu(tiny_llama: Path, records_file: Path, tmp_path: Path) -> None:
    dev = str(beir_folder(tmp_path / "dev", split="dev"))
    trained(tiny_llama, records_file, tmp_path / "run", "4bit", "--precision", "bfloat16", "--dev", dev)


@pytest.mark.parametrize("base_weights", FORMATS)
def test_the_base_takes_less_memory(base_weights: str, tiny_llama: Path) -> None:
    whole, fewer = (
        add_lora(load_base(tiny_llama, name), rank=2, alpha=4, dropout=0.0, seed=1)
        for name in ("float32", base_weights)
    )
    assert parameter_counts(whole) == parameter_counts(fewer)
    assert base_bytes(fewer) <= base_bytes(whole) / 2
    trained = {weight.dtype for weight in fewer.parameters() if weight.requires_grad}
    assert trained == {torch.float32}


def test_a_dry_run_plans_for_the_smaller_base(
    tiny_llama: Path, records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = sft_flags(tiny_llama, records_file, tmp_path / "run", base_weights="bfloat16", measure_seconds=0.1)
    train([*flags, "--dry-run"])
    assert re.search(r"parameters +[\d,]+, of which trained [\d,]+", capsys.readouterr().out)


@pytest.mark.skipif(INSTALLED, reason="the extra qlora is installed")
def test_without_the_extra_four_bits_are_refused(
    tiny_llama: Path, records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(sft_flags(tiny_llama, records_file, tmp_path / "run", base_weights="4bit")) == 2
    assert "--base-weights 4bit needs bitsandbytes" in capsys.readouterr().err


def test_sharded_weights_are_whole(
    tiny_llama: Path, records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*sft_flags(tiny_llama, records_file, tmp_path / "run", base_weights="bfloat16"), "--fsdp"]) == 2
    assert "--fsdp shards float32 weights" in capsys.readouterr().err
