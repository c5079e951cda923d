"""Parameters in reranker.json: outside its fingerprint, and no change of the weights' identity."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from contract.adaptive.parameters import Gate, read_gate
from contract.checkpoint.manifest import Manifest, read_adapter_manifest
from evaluation.commands.adaptive import _manifest
from evaluation.errors import BadSettings
from evaluation.scorers.local_service import weights_hash
from tests.contract.adaptive.scripted import PARAMETERS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Manifest("cross-encoder", None, None, "0" * 64, "base", scores={"dev": {"é": 0.5}}).write(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return tmp_path


def test_parameters_change_neither_fingerprint_nor_the_identity_of_weights(folder: Path) -> None:
    before, weights = read_adapter_manifest(folder), weights_hash(str(folder))
    gate = Gate(PARAMETERS, "it gains")
    dataclasses.replace(before, adaptive=gate.to_json(before.fingerprint)).write(folder)
    after = read_adapter_manifest(folder)
    assert after.fingerprint == before.fingerprint
    assert read_gate(after.adaptive, after.fingerprint) == gate
    assert weights_hash(str(folder)) == weights


def test_another_temperature_leaves_parameters_unused(folder: Path) -> None:
    before = read_adapter_manifest(folder)
    dataclasses.replace(before, adaptive=Gate(PARAMETERS).to_json(before.fingerprint), temperature=2.0).write(folder)
    after = read_adapter_manifest(folder)
    assert "another fingerprint" in read_gate(after.adaptive, after.fingerprint).reason


def test_parameters_go_into_the_measured_model_only(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    fingerprint = read_adapter_manifest(folder).fingerprint
    assert _manifest(folder, {"fingerprint": fingerprint}).fingerprint == fingerprint
    with pytest.raises(BadSettings, match="name the folder of the measured model"):
        _manifest(folder, {"fingerprint": "f" * 64})
    with pytest.raises(BadSettings, match="to write into"):
        _manifest(tmp_path_factory.mktemp("empty"), {"fingerprint": fingerprint})
