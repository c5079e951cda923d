"""A checkpoint behind the real service in a child process, which the real command starts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.scorers.http import ServiceOptions
from evaluation.scorers.local_service import local_service, weights_hash
from tests.evaluation import small_data
from tests.processes import ROOT, clean_environment
from tests.waiting import PATIENCE, wait_until
from trainer.run.manifests import read_packaged


def test_the_identity_of_a_result_states_the_temperature_of_its_mode(small_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_model, tmp_path / "model"))
    replace(read_packaged(folder), temperature=1.5, reasoning_temperature=2.5).write(folder)
    with local_service(str(folder), ServiceOptions(mode="reasoning"), tmp_path / "log") as scorer:
        assert scorer.identity()["temperature"] == 2.5


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is not here")
def test_the_service_ends_with_a_killed_evaluation(tmp_path: Path) -> None:
    data = small_data.medquad_folder(tmp_path / "medquad")
    command = [sys.executable, "-m", "evaluation.cli", "run", "medquad", "--model", "smollm2-135m-instruct"]
    command += ["--data", str(data), "--out", str(tmp_path / "out")]
    parent = subprocess.Popen(command, cwd=ROOT, env=clean_environment())
    try:
        child = _child(parent.pid)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait(PATIENCE)
    wait_until(lambda: not _running(child), "the service outlives the evaluation", 0.05)


def _child(pid: int) -> int:
    """The first child that runs the service's program."""
    found: list[int] = []

    def look() -> bool:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
        found.extend(int(one) for one in children if b"limrank-serve" in Path(f"/proc/{one}/cmdline").read_bytes())
        return bool(found)

    wait_until(look, "no service was started", 0.02)
    return found[0]


def _running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_weights_are_told_apart_by_their_content(tmp_path: Path) -> None:
    for name, content in (("a", b"one"), ("b", b"two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(content)
    assert weights_hash(str(tmp_path / "a")) != weights_hash(str(tmp_path / "b"))
    assert weights_hash(str(tmp_path / "a")) == weights_hash(str(tmp_path / "a"))
    assert weights_hash("owner/model-on-a-hub") is None
