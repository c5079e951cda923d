"""Ablations: one run for each variant, trained once, and a table with what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer

from tests.evaluation.small_data import beir_folder, jsonl
from tests.trainer.running import cross_encoder_flags, sft_flags
from trainer.ablation.scorers import base_scorer, pair_scorer
from trainer.ablation.table import Outcome, markdown
from trainer.cli import run
from trainer.cross_encoder.model import load_encoder


def test_variants_are_trained_once_and_compared(
    tiny_bert: Path, groups_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dev, other = beir_folder(tmp_path / "dev", split="dev"), beir_folder(tmp_path / "other")
    words = cross_encoder_flags(tiny_bert, groups_file, tmp_path / "runs", dev=dev, out_of_domain=other)
    words = ["ablate", "volume", *words[1:], "--volumes", "[6,12]", "--data-cost", "48", "--hour-cost", "10"]
    assert run(words) == 0
    made = json.loads((tmp_path / "runs" / "ablation-volume.json").read_text())
    assert [(one["name"], one["examples"]) for one in made["variants"]] == [
        ("before training", 0),
        ("6 groups", 6),
        ("12 groups", 12),
    ]
    assert all(one["dev"]["oracle"] == one["other"]["oracle"] == 1.0 for one in made["variants"])
    for one, cost in zip(made["variants"][1:], (18, 24), strict=True):
        assert one["seconds"] > 0
        assert one["data_cost"] == cost  # of 48 groups, those trained and those that calibrate
    assert (tmp_path / "runs" / "ablation-volume.png").read_bytes().startswith(b"\x89PNG")
    before = (tmp_path / "runs" / "6-groups" / "legs.jsonl").read_bytes()
    assert run(words) == 0
    assert (tmp_path / "runs" / "6-groups" / "legs.jsonl").read_bytes() == before
    assert run([word if word != "volume" else "source" for word in words]) == 2
    assert "has 1 values of 'source'; leaving one out at a time needs 2 to 12" in capsys.readouterr().err


def test_what_the_data_cost_is_read_beside_the_file(
    tiny_bert: Path, groups_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "groups.jsonl"
    data.write_bytes(groups_file.read_bytes())
    about = tmp_path / "groups.jsonl.about.json"
    about.write_text('{"cost": 96.0}')
    dev = beir_folder(tmp_path / "dev", split="dev")
    words = cross_encoder_flags(tiny_bert, data, tmp_path / "runs", dev=dev)
    words = ["ablate", "volume", *words[1:], "--volumes", "[6]"]
    assert run(words) == 0
    made = json.loads((tmp_path / "runs" / "ablation-volume.json").read_text())
    assert [one["data_cost"] for one in made["variants"]] == [0, 36]  # 18 of 48 groups
    twice = [*cross_encoder_flags(tiny_bert, data, tmp_path / "twice", dev=dev, epochs=2)[1:], "--names", "test/q-1"]
    assert run(["ablate", "source", *twice]) == 0
    made = json.loads((tmp_path / "twice" / "ablation-source.json").read_text())
    costs = {one["name"]: (one["examples"], one["data_cost"]) for one in made["variants"]}
    assert costs["all"] == (36, 72), "two passes over 36 groups, the others calibrate"
    assert costs["without test/q-1"][1] < 72
    far = beir_folder(tmp_path / "far")
    jsonl(far / "queries.jsonl", [{"_id": name, "text": "why " * 99} for name in ("q1", "q2", "q3")])
    assert run([*words, "--out-of-domain", str(far)]) == 2
    assert "query 'q" in capsys.readouterr().err
    about.write_text('{"cost": "much"}')
    assert run(words) == 2
    assert "does not say what groups.jsonl cost" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("negatives", ["hard", "random"]),
        ("loss", ["lce", "lce without anchor", "bce"]),
        ("domain", ["all", "without crafts", "without materials"]),
        ("source --names test/q-1,test/q-2", ["all", "without test/q-1", "without test/q-2"]),
    ],
)
def test_each_kind_is_one_command(
    kind: str,
    names: list[str],
    tiny_bert: Path,
    groups_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dev = beir_folder(tmp_path / "dev", split="dev")
    words = cross_encoder_flags(tiny_bert, groups_file, tmp_path / "runs", dev=dev, measure_seconds=0.01, calibration=4)
    kind, *more = kind.split()
    assert run(["ablate", kind, *words[1:], *more, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert [line.removeprefix(f"--- {kind}: ") for line in said.splitlines() if line.startswith("---")] == names
    assert said.count("steps             ") == len(names)


def test_what_kinds_compare_with_is_trained_once(tiny_bert: Path, groups_file: Path, tmp_path: Path) -> None:
    words = cross_encoder_flags(
        tiny_bert, groups_file, tmp_path / "runs", dev=beir_folder(tmp_path / "dev", split="dev"), max_steps=1
    )
    assert run(["ablate", "negatives", *words[1:]]) == 0
    legs = tmp_path / "runs" / "as-the-settings-say" / "legs.jsonl"
    before = legs.read_bytes()
    assert run(["ablate", "loss", *words[1:]]) == 0
    assert legs.read_bytes() == before
    found = {path.name for path in (tmp_path / "runs").iterdir() if path.is_dir()}
    assert found == {"as-the-settings-say", "random", "lce-without-anchor", "bce"}
    words = [*words, "--learning-rate", "0.02"]
    assert run(["ablate", "negatives", *words[1:]]) == 2, "what stands there was trained with other settings"


def test_a_base_without_an_output_is_scored_as_a_bi_encoder(tiny_bert: Path, tmp_path: Path) -> None:
    passages = ["Rye bread keeps for two weeks.", "Green tea is steeped.", "Rye bread"]
    vectors = SentenceTransformer(str(tiny_bert)).encode(["rye bread", *passages], normalize_embeddings=True)
    untrained = base_scorer(tiny_bert, max_tokens=64)
    assert untrained.score("rye bread", passages) == pytest.approx(vectors[1:] @ vectors[0], abs=1e-6)
    made = tmp_path / "made"
    load_encoder(tiny_bert, seed=5, train_embeddings=True).save_pretrained(str(made))
    own_output = pair_scorer(made, max_tokens=64)
    assert base_scorer(made, max_tokens=64).score("rye bread", passages) == own_output.score("rye bread", passages)


def test_a_causal_model_is_trained_with_and_without_traces(
    tiny_llama: Path, records_file: Path, tmp_path: Path
) -> None:
    dev, other = beir_folder(tmp_path / "dev", split="dev"), beir_folder(tmp_path / "other")
    words = sft_flags(tiny_llama, records_file, tmp_path / "runs", max_steps=2, dev=dev, out_of_domain=other)
    assert run(["ablate-sft", "traces", *words[1:]]) == 0
    made = json.loads((tmp_path / "runs" / "ablation-traces.json").read_text())
    assert [(one["name"], one["examples"]) for one in made["variants"]] == [
        ("before training", 0),
        ("with traces", 16),
        ("without traces", 16),
    ]
    shares = [
        json.loads((tmp_path / "runs" / name / "settings.json").read_text())["direct_share"]
        for name in ("as-the-settings-say", "without-traces")
    ]
    assert shares == [0.5, 1.0]
    assert all(one["dev"]["oracle"] == one["other"]["oracle"] == 1.0 for one in made["variants"])
    table = (tmp_path / "runs" / "ablation-traces.md").read_text()
    assert "| variant | records |" in table
    assert run(["ablate-sft", "volume", *words[1:], "--volumes", "[8,16]", "--dry-run"]) == 0


def test_the_table_says_what_a_point_costs_and_invents_nothing() -> None:
    dev = {"score": 0.9, "before": 0.8, "oracle": 1.0}
    worse = {"score": 0.7, "before": 0.8, "oracle": 1.0}
    table = markdown(
        "volume", [Outcome("a", 1000, 7200, dev, None, 4.0), Outcome("b", 10, 0, worse, dev, 1.0)], "groups", 3.0
    )
    assert "| a | 1,000 | 0.9000 | 0.8000 | - | - | 2.00 | 4.00 | 1.00 |" in table
    assert "| b | 10 | 0.7000 | 0.8000 | 0.9000 | 0.8000 | 0.00 | 1.00 | - |" in table
