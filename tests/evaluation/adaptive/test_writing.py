"""Parameters in reranker.json: outside its fingerprint, and no change of the weights' identity."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from contract.adaptive.curves import Curve
from contract.adaptive.parameters import Gate, read_gate
from contract.adaptive.reaching import Fitted, Reaching, read_reaching
from contract.checkpoint.manifest import Manifest, read_adapter_manifest
from evaluation.commands.adaptive import measured_manifest
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


def test_so_it_is_with_what_is_fitted_for_a_cascade(folder: Path) -> None:
    before, weights = read_adapter_manifest(folder), weights_hash(str(folder))
    fitted = Reaching(Curve((0.0, 2.0), (-1.0, 4.0), 1.0), Curve((0.0,), (0.7,)))
    value = fitted.to_json(before.fingerprint, "small", "f" * 64)
    dataclasses.replace(before, first_stage=value).write(folder)
    assert weights_hash(str(folder)) == weights
    gate = Gate(PARAMETERS, "it gains")
    with_both = dataclasses.replace(read_adapter_manifest(folder), adaptive=gate.to_json(before.fingerprint))
    with_both.write(folder)
    after = read_adapter_manifest(folder)
    assert after.fingerprint == before.fingerprint
    assert read_reaching(after.first_stage, after.fingerprint, "f" * 64) == Fitted(fitted)
    assert read_gate(after.adaptive, after.fingerprint) == gate
    assert weights_hash(str(folder)) == weights


def test_another_temperature_leaves_parameters_unused(folder: Path) -> None:
    before = read_adapter_manifest(folder)
    dataclasses.replace(before, adaptive=Gate(PARAMETERS).to_json(before.fingerprint), temperature=2.0).write(folder)
    after = read_adapter_manifest(folder)
    assert "another fingerprint" in read_gate(after.adaptive, after.fingerprint).reason


def test_parameters_go_into_the_measured_model_only(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    fingerprint = read_adapter_manifest(folder).fingerprint
    assert measured_manifest(folder, {"fingerprint": fingerprint}).fingerprint == fingerprint
    with pytest.raises(BadSettings, match="name the folder of the measured model"):
        measured_manifest(folder, {"fingerprint": "f" * 64})
    with pytest.raises(BadSettings, match="to write into"):
        measured_manifest(tmp_path_factory.mktemp("empty"), {"fingerprint": fingerprint})
