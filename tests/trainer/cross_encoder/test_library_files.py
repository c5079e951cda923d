"""Checkpoints of `limrank-train cross-encoder` in the real Sentence Transformers, whatever their base was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import CrossEncoder
from transformers import AutoTokenizer

from contract.checkpoint.cross_encoder_files import write_cross_encoder_files
from contract.checkpoint.manifest import read_manifest
from contract.records import read_groups
from tests.service.engines.cross_encoder.tiny_classifiers import write_classifier
from tests.trainer.running import cross_encoder_flags, train
from trainer.cross_encoder.model import PairScorer, load_encoder, load_pair_encoder
from trainer.errors import BadBase

_CHATML = "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}{% endfor %}"


def log_odds(folder: Path, query: str, passages: list[str]) -> list[float]:
    """As the trainer has them: the network's output, divided by the manifest's temperature."""
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.temperature != 1.0
    scorer = PairScorer(load_encoder(folder, seed=0, train_embeddings=True), load_pair_encoder(folder, 100))
    return [score / manifest.temperature for score in scorer.score(query, passages)]


def same_in_the_library(folder: Path, groups_file: Path) -> None:
    group = next(iter(read_groups(groups_file)))
    passages = [group.positive, *group.negatives]
    expected = log_odds(folder, group.query, passages)
    model = CrossEncoder(str(folder), local_files_only=True, device="cpu")
    pairs = [(group.query, passage) for passage in passages]
    raw = model.predict(pairs, activation_fn=torch.nn.Identity(), batch_size=1)
    assert raw.tolist() == pytest.approx(expected, abs=1e-4)
    assert model.predict(pairs).tolist() == pytest.approx(torch.tensor(expected).sigmoid().tolist(), abs=1e-5)


@pytest.mark.parametrize("family", ["xlm-roberta", "mpnet", "deberta-v2"])
def test_other_encoders_are_loaded_with_our_scores(family: str, groups_file: Path, tmp_path: Path) -> None:
    base = write_classifier(tmp_path / "base", family, initializer_range=0.1)
    train(cross_encoder_flags(base, groups_file, tmp_path / "run", max_steps=3, max_tokens=100))
    same_in_the_library(tmp_path / "run" / "model", groups_file)


def test_what_the_base_states_of_itself_does_not_stay(groups_file: Path, tmp_path: Path) -> None:
    """Another activation, a default prompt, a chat template: the checkpoint was trained without them."""
    base = write_classifier(tmp_path / "base", "bert", initializer_range=0.1)
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = _CHATML
    tokenizer.save_pretrained(base)
    stated = {"activation_fn": torch.nn.Identity(), "prompts": {"web": "web: "}, "default_prompt_name": "web"}
    CrossEncoder(str(base), local_files_only=True, device="cpu", **stated).save_pretrained(str(base))
    train(cross_encoder_flags(base, groups_file, tmp_path / "run", max_steps=3, max_tokens=100))
    same_in_the_library(tmp_path / "run" / "model", groups_file)


def test_a_checkpoint_is_trained_on_and_calibrated_anew(groups_file: Path, tmp_path: Path) -> None:
    base = write_classifier(tmp_path / "base", "bert", initializer_range=0.1)
    train(cross_encoder_flags(base, groups_file, tmp_path / "one", max_steps=3))
    first = tmp_path / "one" / "model"
    train(cross_encoder_flags(first, groups_file, tmp_path / "two", max_steps=3))
    same_in_the_library(tmp_path / "two" / "model", groups_file)
    manifest = read_manifest(first)
    assert manifest is not None
    results = tmp_path / "calibration.json"
    identity = {"mode": "direct", "fingerprint": manifest.fingerprint, "data_sha256": manifest.data_sha256}
    results.write_text(json.dumps({"identity": identity, "temperature": {"value": 1.5}}))
    train(["calibrate", "--weights", str(first), "--results", str(results)])
    calibrated = read_manifest(first)
    assert calibrated is not None
    assert calibrated.temperature == pytest.approx(1.5 * manifest.temperature, abs=1e-4)
    same_in_the_library(first, groups_file)


def test_a_temperature_of_one_needs_no_layer_and_what_another_put_there_is_refused(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "bert", "bert")
    write_cross_encoder_files(folder, 2.0)
    assert (folder / "1_Dense" / "model.safetensors").is_file()
    with pytest.raises(BadBase, match="has Dense behind its network, which is not trained here; name another --base"):
        load_encoder(folder, seed=0, train_embeddings=True)
    write_cross_encoder_files(folder, 1.0)
    assert not (folder / "1_Dense").exists()
    assert len(CrossEncoder(str(folder), local_files_only=True, device="cpu")) == 1
    shutil.rmtree(folder)
