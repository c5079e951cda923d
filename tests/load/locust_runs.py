"""Locust as a process of its own, in its own environment: it patches sockets when it is imported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processes import ROOT
from tests.requirements_check import require
from tests.waiting import PATIENCE

PYTHON = ROOT / ".venv-load" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
LOCUST = (str(PYTHON), "-m", "locust", "-f", str(ROOT / "loadtests" / "locustfile.py"), "--headless", "--only-summary")
# Passages so short that a 2-core machine answers within a test's patience.
SHORT = ("--least-words", "5", "--most-words", "20")


def require_locust() -> None:
    """Skip, or fail where it is demanded, unless Locust is installed."""
    require("locust", present=PYTHON.exists(), remedy="run `make .venv-load/.installed`")


def surroundings() -> dict[str, str]:
    """The environment without settings of load runs that a developer may have set."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("LOCUST_", "LOADTEST_"))}


@dataclass(frozen=True, slots=True)
class Run:
    """How a run ended: exit code, what it said, and the numbers it wrote (empty where it wrote none)."""

    code: int
    said: str
    summary: dict[str, Any]


def locust(folder: Path, url: str, *arguments: str, timeout: float = PATIENCE) -> Run:
    """Run Locust against `url` to its end."""
    summary = folder / "summary.json"
    summary.unlink(missing_ok=True)
    done = subprocess.run(
        [*LOCUST, "--host", url, "--summary", str(summary), *arguments],
        cwd=ROOT,
        env=surroundings(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Run(done.returncode, done.stdout + done.stderr, read(summary))


def read(summary: Path) -> dict[str, Any]:
    """The numbers a run wrote down."""
    found: dict[str, Any] = json.loads(summary.read_text()) if summary.exists() else {}
    return found


@contextmanager
def load(folder: Path, url: str, *arguments: str) -> Iterator[dict[str, Any]]:
    """Locust until the context is left; the dictionary then holds the numbers of its run, and its exit code."""
    found: dict[str, Any] = {}
    summary = folder / "load.json"
    summary.unlink(missing_ok=True)
    # Locust writes its page where it is interrupted, not where it is terminated; what runs in the background of a shell
    # ignores interrupts, and so would its children.
    command = [
        "env",
        "--default-signal=INT",
        *LOCUST,
        "--host",
        url,
        "--summary",
        str(summary),
        "--run-time",
        "3600s",
        *arguments,
        *SHORT,
    ]
    with (folder / "locust.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=surroundings(), stdout=log, stderr=log)
    try:
        yield found
        assert process.poll() is None, (folder / "locust.log").read_text()
        process.send_signal(signal.SIGINT)
        found["code"] = process.wait(PATIENCE)
        found |= read(summary)
    finally:
        process.kill()
        process.wait()
