"""Model folders of each kind, small, and how they may be damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForSequenceClassification

from contract.checkpoint.manifest import Manifest, read_manifest, tokenizer_sha256
from contract.checkpoint.model_config import config_of
from tests.tokenizers import minilm_folder

Damage = Callable[[Path], None]
WEIGHTS = "model.safetensors"


def cross_encoder_folder(folder: Path) -> Path:
    """A BERT of two layers with a manifest of version 2."""
    torch.manual_seed(4)
    config = BertConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, initializer_range=0.5
    )
    config.num_labels = 1
    model: Any = BertForSequenceClassification(config)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(minilm_folder() / name, folder / name)
    stated = Manifest("cross-encoder", None, None, tokenizer_sha256(folder), "test", config=config_of(folder))
    stated.write(folder)
    return folder


def restate(folder: Path) -> None:
    """Make the manifest fit a configuration that was changed on purpose, so that only the weights tell."""
    manifest = read_manifest_as_it_is(folder)
    replace(manifest, config=config_of(folder)).write(folder)


def read_manifest_as_it_is(folder: Path) -> Manifest:
    """The manifest, whatever the configuration beside it."""
    config = (folder / "config.json").read_text()
    data = json.loads((folder / "reranker.json").read_text())
    (folder / "config.json").write_text(json.dumps(data["config"]))
    manifest = read_manifest(folder)
    (folder / "config.json").write_text(config)
    assert manifest is not None
    return manifest


def without(part: str) -> Damage:
    return tensors(lambda found: {name: tensor for name, tensor in found.items() if part not in name})


def tensors(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]], file: str = WEIGHTS) -> Damage:
    def damage(folder: Path) -> None:
        found = {name: tensor.clone() for name, tensor in load_file(folder / file).items()}
        save_file(change(found), folder / file, metadata={"format": "pt"})

    return damage


def filled(part: str, value: float, file: str = WEIGHTS) -> Damage:
    """One number of each tensor whose name holds `part`, the last one."""

    def change(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        for name, tensor in found.items():
            if part in name:
                tensor.view(-1)[-1] = value
        return found

    return tensors(change, file)


def configured(honest: bool = True, **settings: Any) -> Damage:
    """Another configuration; `honest`: one that the manifest states."""

    def damage(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))
        if honest:
            restate(folder)

    return damage


def sharded(change: Callable[[Path, dict[str, str]], None] = lambda folder, names: None) -> Damage:
    """Two shards and their index; `change` gets the index's map of tensors and files."""

    def damage(folder: Path) -> None:
        found = load_file(folder / WEIGHTS)
        (folder / WEIGHTS).unlink()
        names = sorted(found)
        map_: dict[str, str] = {}
        for number, part in enumerate((names[::2], names[1::2]), 1):
            file = f"model-0000{number}-of-00002.safetensors"
            save_file({name: found[name] for name in part}, folder / file, metadata={"format": "pt"})
            map_ |= dict.fromkeys(part, file)
        change(folder, map_)
        (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": map_}))

    return damage
