"""reranker.json: what is written reads back, and what does not belong together is refused with the differing part."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from contract.checkpoint.manifest import (
    Manifest,
    ManifestError,
    public_format,
    read_adapter_manifest,
    read_manifest,
    tokenizer_sha256,
)
from contract.checkpoint.model_config import adapter_config_of, config_of
from contract.formats.prompt_format import labelled
from contract.prompt import LIMRANK
from contract.verdict import Temperatures, VerdictTokens


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tokenizer.json").write_text("{}")
    return tmp_path


def a_manifest(folder: Path, **changes: Any) -> Manifest:
    manifest = Manifest(
        kind="causal",
        format=LIMRANK,
        verdict_tokens=VerdictTokens(true=830, false=895),
        tokenizer_sha256=tokenizer_sha256(folder),
        base="SmolLM2-135M-Instruct",
        licences=("Apache-2.0", "CC-BY-4.0"),
        scores={"medquad": {"ndcg@10": 0.8}},
    )
    return dataclasses.replace(manifest, **changes)


def test_a_manifest_reads_back(folder: Path) -> None:
    manifest = a_manifest(folder)
    manifest.write(folder)
    assert read_manifest(folder) == manifest
    assert json.loads((folder / "reranker.json").read_text())["format"] == "limrank"


def test_a_format_without_a_name_is_written_whole(folder: Path) -> None:
    manifest = a_manifest(folder, format=labelled(name="mine", preamble="Is it?", instruction_place="preamble"))
    manifest.write(folder)
    assert read_manifest(folder) == manifest


def test_a_cross_encoder_has_neither_format_nor_words(folder: Path) -> None:
    manifest = a_manifest(folder, kind="cross-encoder", format=None, verdict_tokens=None)
    manifest.write(folder)
    assert read_manifest(folder) == manifest


def test_a_folder_without_a_manifest(folder: Path) -> None:
    assert read_manifest(folder) is None


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("temperature", 2.0, "temperature"),
        ("reasoning_temperature", 2.0, "reasoning_temperature"),
        ("verdict_tokens", {"true": 895, "false": 830}, "verdict_tokens"),
        ("kind", "cross-encoder", "kind"),
        ("format", None, "format"),
    ],
)
def test_a_changed_part_is_named(folder: Path, key: str, value: Any, part: str) -> None:
    a_manifest(folder).write(folder)
    change(folder, key, value)
    with pytest.raises(ManifestError, match=f"does not fit its {part}\\."):
        read_manifest(folder)


def test_another_tokenizer_is_refused(folder: Path) -> None:
    a_manifest(folder).write(folder)
    (folder / "tokenizer.json").write_text('{"other": 1}')
    with pytest.raises(ManifestError, match="belongs to another tokenizer"):
        read_manifest(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", 2),
        ("version", 3),
        ("version", True),
        ("version", "1"),
        ("config", {}),
        ("adapter", {}),
        ("base_revision", 7),
        ("data_sha256", []),
        ("temperature", 10**400),
        ("extra", 1),
        ("kind", "listwise"),
        ("temperature", 0),
        ("temperature", True),
        ("temperature", float("nan")),
        ("reasoning_temperature", 0),
        ("reasoning_temperature", None),
        ("verdict_tokens", [830, 895]),
        ("verdict_tokens", {"true": "830", "false": 895}),
        ("tokenizer_sha256", ""),
        ("base", None),
        ("licences", "MIT"),
        ("scores", []),
        ("format", "unheard"),
        ("format", {"name": "x"}),
    ],
)
def test_a_manifest_that_is_not_valid_is_refused_with_a_sentence(folder: Path, key: str, value: Any) -> None:
    a_manifest(folder).write(folder)
    change(folder, key, value)
    with pytest.raises(ManifestError, match=r"reranker\.json.*\.$"):
        read_manifest(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '"text"'])
def test_a_file_that_is_not_a_json_object_is_refused(folder: Path, text: str) -> None:
    (folder / "reranker.json").write_text(text)
    with pytest.raises(ManifestError):
        read_manifest(folder)


def test_the_fingerprint_covers_what_changes_a_score_and_nothing_else(folder: Path) -> None:
    base = a_manifest(folder)
    assert base.fingerprint == a_manifest(folder, scores={}, licences=(), recipe="other").fingerprint
    assert base.fingerprint != a_manifest(folder, temperature=1.5).fingerprint
    assert base.fingerprint != a_manifest(folder, reasoning_temperature=1.5).fingerprint
    assert base.fingerprint != a_manifest(folder, format=labelled(preamble="x")).fingerprint


def test_a_temperature_of_reasoning_is_optional_and_kept(folder: Path) -> None:
    a_manifest(folder, temperature=2.0).write(folder)
    assert "reasoning_temperature" not in json.loads((folder / "reranker.json").read_text())
    assert read(folder).temperatures == Temperatures(2.0, 2.0)
    a_manifest(folder, temperature=2.0, reasoning_temperature=3.0).write(folder)
    assert read(folder).temperatures == Temperatures(2.0, 3.0)


def test_a_part_that_was_taken_out_is_named(folder: Path) -> None:
    a_manifest(folder, reasoning_temperature=3.0).write(folder)
    path = folder / "reranker.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "reasoning_temperature"}))
    with pytest.raises(ManifestError, match=r"does not fit its reasoning_temperature\."):
        read_manifest(folder)


def read(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    assert manifest is not None
    return manifest


def test_non_commercial_licences_are_seen(folder: Path) -> None:
    for licence in ("CC-BY-NC-SA-4.0", "cc-by-nc-4.0", "PolyForm-Noncommercial-1.0.0", "NCGL-UK-2.0", "non-commercial"):
        assert a_manifest(folder, licences=("Apache-2.0", licence)).non_commercial, licence
    assert not a_manifest(folder).non_commercial
    assert not a_manifest(folder, licences=("NCSA", "CC-BY-ND-4.0", "INCOMMON")).non_commercial


def test_public_checkpoints_have_a_named_format() -> None:
    assert public_format("songtingyu/limrank") == LIMRANK
    assert public_format("jhu-clsp/rank1-7b") == LIMRANK
    assert public_format("somebody/else") is None


def change(folder: Path, key: str, value: Any) -> None:
    path = folder / "reranker.json"
    data = json.loads(path.read_text())
    data[key] = value
    path.write_text(json.dumps(data))


def of_version_2(folder: Path, **config: Any) -> Manifest:
    (folder / "config.json").write_text(json.dumps({"hidden_act": "gelu", "num_hidden_layers": 6, **config}))
    (folder / "generation_config.json").write_text('{"eos_token_id": 2, "top_p": 0.9}')
    manifest = a_manifest(folder, config=config_of(folder))
    manifest.write(folder)
    return manifest


def test_version_2_covers_the_configuration_and_version_1_does_not(folder: Path) -> None:
    manifest = of_version_2(folder)
    assert read_manifest(folder) == manifest
    assert (manifest.version, a_manifest(folder).version) == (2, 1)
    assert manifest.fingerprint != a_manifest(folder).fingerprint
    assert "config" not in a_manifest(folder).to_json()


@pytest.mark.parametrize(
    ("file", "key", "value", "said"),
    [
        ("config.json", "hidden_act", "relu", '\'hidden_act\' is "relu" and was "gelu"'),
        ("config.json", "num_hidden_layers", 5, "'num_hidden_layers' is 5 and was 6"),
        ("config.json", "num_hidden_layers", 6.0, "'num_hidden_layers' is 6.0 and was 6"),
        ("config.json", "rope_theta", 1e6, "'rope_theta' is 1000000.0 and was absent"),
        ("generation_config.json", "eos_token_id", [2, 3], "'generation_config' is"),
    ],
)
def test_another_configuration_is_refused_with_the_setting_that_differs(
    folder: Path, file: str, key: str, value: Any, said: str
) -> None:
    of_version_2(folder)
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(ManifestError, match=re.escape(said)):
        read_manifest(folder)


def test_settings_that_change_no_score_may_change(folder: Path) -> None:
    of_version_2(folder)
    path = folder / "config.json"
    other = {"transformers_version": "9", "_name_or_path": "x", "use_cache": False, "attention_dropout": 0.5}
    path.write_text(json.dumps(json.loads(path.read_text()) | other))
    assert read_manifest(folder) is not None


@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
def test_a_configuration_that_is_gone_or_no_json_is_refused(folder: Path, file: str) -> None:
    of_version_2(folder)
    (folder / file).write_text("[" * 100_000)
    with pytest.raises(ManifestError, match=f"{file} is not JSON"):
        read_manifest(folder)
    (folder / file).unlink()
    with pytest.raises(ManifestError, match=r"config"):
        read_manifest(folder)


def test_an_adapter_with_another_configuration_is_refused(folder: Path) -> None:
    settings = {"r": 16, "lora_alpha": 32, "target_modules": ["v_proj", "q_proj"], "peft_version": "1"}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    replaced = dataclasses.replace(of_version_2(folder), adapter=adapter_config_of(folder))
    replaced.write(folder)
    assert read_adapter_manifest(folder) == replaced
    turned = settings | {"target_modules": ["q_proj", "v_proj"], "peft_version": "2"}
    (folder / "adapter_config.json").write_text(json.dumps(turned))
    assert read_adapter_manifest(folder) == replaced
    (folder / "adapter_config.json").write_text(json.dumps(settings | {"lora_alpha": 64}))
    with pytest.raises(ManifestError, match="'lora_alpha' is 64 and was 32"):
        read_adapter_manifest(folder)
