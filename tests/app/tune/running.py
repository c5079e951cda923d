"""Runs of `limrank tune` on the small documents with tiny models, in this process or in one that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from app.tune.command import COMMAND, PROGRAM
from app.tune.work import file_sum
from cli.commands import run_command
from tests.warm import WarmProcess

ROOT = Path(__file__).parents[3]
NOT_THE_RESULT = (".seconds.json", "lock", "train.log", "log.jsonl", "legs.jsonl", "loss.png")


def flags(documents: Path, out: Path, models: tuple[Path, Path], **more: object) -> list[str]:
    base, bi_encoder = models
    given = {"out": out, "base": base, "bi_encoder": bi_encoder, "licence": "CC0-1.0", "max_tokens": 96} | more
    words = [
        (f"--{name.replace('_', '-')}", *(() if value is True else (str(value),))) for name, value in given.items()
    ]
    return [str(documents), *(word for each in words for word in each)]


def tune(documents: Path, out: Path, models: tuple[Path, Path], **more: object) -> int:
    """In this process; the exit code."""
    return run_command("limrank tune", PROGRAM, COMMAND, flags(documents, out, models, **more), [COMMAND])


def start(documents: Path, out: Path, models: tuple[Path, Path], **more: object) -> subprocess.Popen[bytes]:
    return WarmProcess(
        [sys.executable, "-m", "app.cli", "tune", *flags(documents, out, models, **more)],
        cwd=ROOT,
        env=dict(os.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def result(out: Path) -> dict[str, str]:
    """The files that a run makes, by name with their sums; without what says how long it took."""
    files = [path for place in ("model", "work") for path in sorted((out / place).rglob("*")) if path.is_file()]
    kept = [path for path in files if not path.name.endswith(NOT_THE_RESULT) and "training" not in path.parts[-2:][0]]
    return {str(path.relative_to(out)): file_sum(path) for path in kept if "/training" not in str(path)}
