"""A prepared model is copied out of the cache, whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from service.models.checkpoint import Checkpoint
from service.models.export import main
from service.models.store import resolve
from tests.processes import ROOT, clean_environment


@pytest.fixture(scope="module")
def tiny(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return resolve("smollm2-135m-instruct", gguf=tiny_gguf, cache_dir=tmp_path_factory.mktemp("cache"))


def test_a_model_is_copied_whole(tiny: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "base.partial").mkdir()
    (tmp_path / "base.partial" / "left.over").touch()
    command = [sys.executable, "-m", "service.models.export", str(tiny.folder), str(tmp_path / "base")]
    done = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    copied = {path.name: path.read_bytes() for path in (tmp_path / "base").iterdir()}
    assert copied == {path.name: path.read_bytes() for path in tiny.folder.iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_what_cannot_be_copied_is_a_sentence(
    tiny: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tiny.folder), str(tmp_path)]) == 2
    assert f"{tmp_path} exists already; remove it" in capsys.readouterr().err
    assert main(["no-such-model", str(tmp_path / "base")]) == 2
    assert "'no-such-model' is neither an embedded model" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main([str(tiny.folder), str(tmp_path / "file" / "base")]) == 2
    assert "cannot be written" in capsys.readouterr().err
