"""Runs of `limrank tune` on the small documents with tiny models, in this process or in one that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from app.tune.command import COMMAND, PROGRAM
from app.tune.work import file_sum
from cli.commands import run_command
from tests.trainer.running import TrainerProcess

ROOT = Path(__file__).parents[3]
NOT_THE_RESULT = (".seconds.json", "lock", "train.log")


def flags(documents: Path, out: Path, model: Path, **more: object) -> list[str]:
    given = {"out": out, "base": model, "licence": "CC0-1.0", "max_tokens": 96} | more
    words = [
        (f"--{name.replace('_', '-')}", *(() if value is True else (str(value),))) for name, value in given.items()
    ]
    return [str(documents), *(word for each in words for word in each)]


def tune(documents: Path, out: Path, model: Path, **more: object) -> int:
    """In this process; the exit code."""
    return run_command("limrank tune", PROGRAM, COMMAND, flags(documents, out, model, **more), [COMMAND])


def start(documents: Path, out: Path, model: Path, **more: object) -> subprocess.Popen[bytes]:
    return TrainerProcess(
        [sys.executable, "-m", "app.cli", "tune", *flags(documents, out, model, **more)],
        cwd=ROOT,
        env=dict(os.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def result(out: Path) -> dict[str, str]:
    """The files that a run makes, by name with their sums; without what says how long it took. The training's own files
    are in the manifest of their step."""
    files = [*(out / "model").rglob("*"), *(out / "work").glob("*")]
    kept = [path for path in files if path.is_file() and not path.name.endswith(NOT_THE_RESULT)]
    return {str(path.relative_to(out)): file_sum(path) for path in sorted(kept)}
