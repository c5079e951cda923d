"""An adapter that stands in the package is merged into the embedded model and gives it its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM

from cli.progress import Progress
from contract.checkpoint.manifest import FILE_NAME, read_manifest
from service.errors import ModelStoreError
from service.models import embedded, gguf
from service.models.checkpoint import Checkpoint
from service.models.embedded import default_name
from service.models.store import resolve

RANK, ALPHA = 4, 8


@pytest.fixture(scope="module")
def tiny(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return resolve("smollm2-135m-instruct", gguf=tiny_gguf, cache_dir=tmp_path_factory.mktemp("cache"))


def save_adapter(base: Path, folder: Path, **settings: object) -> None:
    """A LoRA adapter as peft saves it, its deltas not zero, with a manifest beside it."""
    torch.manual_seed(3)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    for name, value in settings.items():
        setattr(config, name, value)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    model.save_pretrained(str(folder))
    manifest = read_manifest(base)
    assert manifest is not None
    replace(manifest, recipe="LoRA for a test", temperature=1.5).write(folder)


@pytest.fixture
def weights(tiny: Checkpoint, tmp_path: Path) -> Path:
    """A folder such as the package has, with one adapter."""
    save_adapter(tiny.folder, tmp_path / "weights" / "limrank-mini")
    return tmp_path / "weights"


def test_the_adapter_is_merged_in_float32(tiny: Checkpoint, tiny_gguf: Path, weights: Path, tmp_path: Path) -> None:
    assert default_name(weights) == "limrank-mini"
    tuned = resolve(gguf=tiny_gguf, cache_dir=tmp_path / "cache", weights=weights)
    assert (tuned.name, tuned.manifest.recipe, tuned.manifest.temperature) == ("limrank-mini", "LoRA for a test", 1.5)
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny.folder, tuned.folder))
    deltas = load_file(weights / "limrank-mini" / "adapter_model.safetensors")
    assert before.keys() == after.keys()
    for name, base in before.items():
        prefix = f"base_model.model.{name.removesuffix('.weight')}.lora_"
        expected = base
        if f"{prefix}A.weight" in deltas:
            expected = base + ALPHA / RANK * deltas[f"{prefix}B.weight"] @ deltas[f"{prefix}A.weight"]
            assert np.abs(expected - base).max() > 1e-3
        assert after[name].dtype == np.float32
        np.testing.assert_allclose(after[name], expected, atol=1e-6, err_msg=name)
    assert not list(tuned.folder.glob("*.part"))


def test_converting_and_merging_tell_what_is_left(
    tiny_gguf: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Progress] = []

    @contextmanager
    def remembered(work: str, total: float | None = None, unit: str = "") -> Iterator[Progress]:
        told.append(Progress(work, total, unit))
        yield told[-1]
        assert told[-1].done == told[-1].total

    for module in (embedded, gguf):
        monkeypatch.setattr(module, "progress", remembered)
    resolve("limrank-mini", gguf=tiny_gguf, cache_dir=tmp_path / "cache", weights=weights)
    assert [each.work for each in told] == ["converting_model", "merging_adapter"]


def test_the_base_stays_available_beside_the_adapter(
    tiny: Checkpoint, tiny_gguf: Path, weights: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    tuned = resolve("limrank-mini", gguf=tiny_gguf, cache_dir=cache, weights=weights)
    base = resolve("smollm2-135m-instruct", gguf=tiny_gguf, cache_dir=cache, weights=weights)
    assert base.folder.name == tiny.folder.name != tuned.folder.name
    save_adapter(tiny.folder, weights / "limrank-mini", lora_alpha=16)
    assert resolve("limrank-mini", gguf=tiny_gguf, cache_dir=cache, weights=weights).folder != tuned.folder


@pytest.mark.parametrize("missing", ["adapter_model.safetensors", FILE_NAME])
def test_an_adapter_that_is_not_whole_is_refused(tiny_gguf: Path, weights: Path, tmp_path: Path, missing: str) -> None:
    (weights / "limrank-mini" / missing).unlink()
    with pytest.raises(ModelStoreError, match=f"limrank-mini has no {missing}"):
        resolve("limrank-mini", gguf=tiny_gguf, cache_dir=tmp_path / "cache", weights=weights)


@pytest.mark.filterwarnings("ignore:Input and output embeddings are no longer tied:UserWarning")
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning")
def test_an_adapter_that_changes_the_output_layer_is_refused(tiny: Checkpoint, tiny_gguf: Path, tmp_path: Path) -> None:
    save_adapter(tiny.folder, tmp_path / "weights" / "untied", modules_to_save=["lm_head"])
    with pytest.raises(ModelStoreError, match="changes the output layer"):
        resolve("untied", gguf=tiny_gguf, cache_dir=tmp_path / "cache", weights=tmp_path / "weights")


@pytest.mark.filterwarnings("ignore:Found missing adapter keys:UserWarning")
@pytest.mark.parametrize("change", ["shape", "name"])
def test_an_adapter_of_another_model_is_refused(tiny_gguf: Path, weights: Path, tmp_path: Path, change: str) -> None:
    file = weights / "limrank-mini" / "adapter_model.safetensors"
    tensors = load_file(file)
    name = next(name for name in tensors if name.endswith("layers.0.self_attn.q_proj.lora_A.weight"))
    tensor = tensors.pop(name)
    changed = {name: tensor[:, :32].copy()} if change == "shape" else {name.replace("layers.0", "layers.9"): tensor}
    save_file(tensors | changed, file)
    with pytest.raises(ModelStoreError, match=r"does not fit its base model: .*self_attn\.q_proj\.lora_A") as refusal:
        resolve("limrank-mini", gguf=tiny_gguf, cache_dir=tmp_path / "cache", weights=weights)
    assert "\n" not in str(refusal.value)


def test_an_adapter_trained_with_another_tokenizer_is_refused(
    tiny: Checkpoint, tiny_gguf: Path, weights: Path, tmp_path: Path
) -> None:
    replace(tiny.manifest, tokenizer_sha256="0" * 64).write(weights / "limrank-mini")
    with pytest.raises(ModelStoreError, match="another tokenizer: tokenizer_sha256 is 000000000000"):
        resolve("limrank-mini", gguf=tiny_gguf, cache_dir=tmp_path / "cache", weights=weights)
