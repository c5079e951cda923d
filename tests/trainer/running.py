"""Runs of `limrank-train` on the small bases, in this process or in others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from tests.warm import WarmProcess
from trainer.cli import run

ROOT = Path(__file__).parent.parent.parent


class TrainerProcess(WarmProcess):
    """With the libraries that trainings import, and torchrun's own."""

    libraries = (
        *WarmProcess.libraries,
        "torch.distributed.run",
        "accelerate",
        "datasets",
        "peft",
        "transformers.trainer",
        "sentence_transformers.cross_encoder",
        "matplotlib.pyplot",
        "bm25s",
    )


def sft_flags(base: Path, data: Path, folder: Path, **flags: object) -> list[str]:
    """A run of six steps of eight records, with dropout so that random states count."""
    given = {
        "base": base,
        "data": data,
        "folder": folder,
        "rank": 4,
        "alpha": 8,
        "dropout": 0.1,
        "learning_rate": 0.03,
        "batch": 8,
        "device_batch": 4,
        "max_tokens": 160,
        "direct_share": 0.5,
        "log_steps": 1,
        "seed": 3,
        "precision": "float32",  # not what this machine computes best
    } | flags
    return ["sft", *_flags(given)]


def cross_encoder_flags(base: Path, data: Path, folder: Path, **flags: object) -> list[str]:
    """A run of six steps of six groups; twelve groups calibrate."""
    given = {
        "base": base,
        "data": data,
        "folder": folder,
        "learning_rate": 0.01,
        "batch": 6,
        "device_batch": 6,
        "max_tokens": 64,
        "log_steps": 1,
        "seed": 3,
        "precision": "float32",  # not what this machine computes best
        "calibration": 12,
        "train_embeddings": True,
    } | flags
    return ["cross-encoder", *_flags(given)]


def train(flags: list[str]) -> None:
    """In this process; fails the test unless it succeeds."""
    assert run(flags) == 0


def start(flags: list[str], *launcher: str, gpus: bool = False) -> subprocess.Popen[str]:
    """In a process of its own, or in those that `launcher` starts; on CPUs unless `gpus`."""
    environment = (
        os.environ
        | {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONFAULTHANDLER": "1"}
        | ({} if gpus else {"CUDA_VISIBLE_DEVICES": ""})
    )
    return TrainerProcess(
        [sys.executable, *(launcher or ("-m", "trainer.train")), *flags],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a result."""
    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        found.update(load_file(file))
    assert found
    return found


def _flags(given: dict[str, object]) -> list[str]:
    words: list[str] = []
    for name, value in given.items():
        flag = "--" + name.replace("_", "-")
        words += [flag if value else f"--no-{flag[2:]}"] if isinstance(value, bool) else [flag, str(value)]
    return words
