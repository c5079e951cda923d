"""`limrank plan`: from a config.json alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.plan import COMMAND, PROGRAM
from cli.commands import run_command

QWEN_7B = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_attention_heads": 28,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "tie_word_embeddings": False,
    "max_position_embeddings": 131072,
}


def plan(*argv: object) -> int:
    return run_command("limrank plan", PROGRAM, COMMAND, [str(word) for word in argv], [COMMAND])


def test_seven_billion_parameters_fit_one_gpu_and_not_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(QWEN_7B))
    words = ("--base", config, "--examples", 20000, "--tokens", 1000, "--epochs", 5, "--batch", 128)
    assert plan(*words, "--gpu", "h100x8", "--hour-cost", 2) == 0
    said = capsys.readouterr().out
    assert "sft of" in said
    assert "7,615,616,512, of which trained 80,740,352" in said
    assert "782 of 128 examples" in said
    assert "It fits." in said
    assert "cost" in said
    assert plan(*words, "--gpu", "rtx4090") == 0
    assert "It does NOT fit: try --base-weights bfloat16 or 4bit, " in capsys.readouterr().out
    assert plan(*words, "--gpu", "rtx4090", "--base-weights", "4bit") == 0
    assert "It fits." in capsys.readouterr().out


def test_what_is_unknown_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "nothing-known"}')
    for words, told in (
        (("--base", tmp_path, "--gpu", "h100x8"), "cannot be had"),
        (("--base", tmp_path, "--gpu", "z80"), "'gpu' is 'z80'; write a kind and a number"),
        (("--gpu", "h100"), "'base' is not given"),
        (("--base", tmp_path, "--gpu", "h100", "--base-weights", "8bit"), "'base_weights'"),
    ):
        assert plan(*words) == 2
        complained = capsys.readouterr().err
        assert told in complained
        assert len(complained.splitlines()) == 1
