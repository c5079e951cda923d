"""`--calibration`: a fitted temperature for a model without a manifest, and only for the one that was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.errors import ModelStoreError
from service.models.calibration import calibrated
from service.models.checkpoint import Checkpoint
from service.models.store import resolve
from service.ranking import ScoreKind
from tests.contract.formats.references import tokenizer_named
from tests.service.engines.tiny_models import save_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "model", "qwen3", tokenizer_named("small-qwen3-like"))


def result(folder: Path, checkpoint: Checkpoint, mode: str = "direct", value: float | None = 2.5, **own: Any) -> str:
    path = folder / f"{mode}.json"
    identity = {"mode": mode, "fingerprint": checkpoint.manifest.fingerprint} | own
    path.write_text(json.dumps({"identity": identity, "temperature": None if value is None else {"value": value}}))
    return str(path)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("qwen3-reranker", ScoreKind.OWN, ScoreKind.FITTED),
        ("zerank", ScoreKind.ORDER, ScoreKind.FITTED),
        ("limrank", ScoreKind.OWN, ScoreKind.FITTED),
    ],
)
def test_a_temperature_for_a_model_without_a_manifest(
    name: str, before: ScoreKind, after: ScoreKind, folder: Path, tmp_path: Path
) -> None:
    checkpoint = resolve(str(folder), prompt_format=name)
    assert calibrated(checkpoint, ()) == checkpoint
    fitted = calibrated(checkpoint, [result(tmp_path, checkpoint)])
    assert fitted.manifest.temperatures.direct == 2.5
    assert (checkpoint.score, fitted.score) == (before, after)


def test_a_temperature_for_each_mode(folder: Path, tmp_path: Path) -> None:
    checkpoint = resolve(str(folder), prompt_format="limrank")
    direct, reasoning = result(tmp_path, checkpoint), result(tmp_path, checkpoint, "reasoning", 4.0)
    assert calibrated(checkpoint, [direct]).manifest.temperatures.reasoning == 1.0
    both = calibrated(checkpoint, [direct, reasoning]).manifest.temperatures
    assert (both.direct, both.reasoning) == (2.5, 4.0)
    assert calibrated(checkpoint, [reasoning, direct]).manifest.temperatures == both


def test_files_that_do_not_fit(folder: Path, tmp_path: Path) -> None:
    checkpoint = resolve(str(folder), prompt_format="qwen3-reranker")
    with pytest.raises(ModelStoreError, match="was measured with the model of fingerprint abcdef"):
        calibrated(checkpoint, [result(tmp_path, checkpoint, fingerprint="abcdef")])
    with pytest.raises(ModelStoreError, match="has no fitted temperature"):
        calibrated(checkpoint, [result(tmp_path, checkpoint, value=None)])
    with pytest.raises(ModelStoreError, match=r"is no calibration\.json of limrank-eval"):
        calibrated(checkpoint, [str(tmp_path / "none.json")])
    graded = resolve(str(folder), prompt_format="erank")
    with pytest.raises(ModelStoreError, match="gives grades, to which no temperature applies"):
        calibrated(graded, [result(tmp_path, graded)])
