"""`limrank-train sft` from end to end on a small base: it learns, stops, goes on, and says what it did."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from contract.checkpoint.manifest import manifest_from_json, tokenizer_sha256
from tests.evaluation.small_data import beir_folder, jsonl
from tests.trainer.running import sft_flags, start, train, weights
from tests.waiting import PATIENCE
from trainer.cli import run
from trainer.run import report


@pytest.fixture(scope="module")
def uninterrupted(tiny_llama: Path, records_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sft") / "run"
    train(sft_flags(tiny_llama, records_file, folder, checkpoint_steps=2, epochs=2))
    return folder


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plot takes as long as four steps. `uninterrupted` and the tests of a kill and of legs draw it."""
    monkeypatch.setattr(report, "plot_loss", lambda folder: None)


def log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_loss_falls_and_a_plot_shows_it(uninterrupted: Path) -> None:
    losses = [line["loss"] for line in log(uninterrupted)]
    assert len(losses) == 12
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    assert (uninterrupted / "loss.png").read_bytes().startswith(b"\x89PNG")
    (events,) = (uninterrupted / "checkpoints" / "runs").rglob("events.out.tfevents.*")
    assert events.read_bytes().count(b"train/loss") == 12


def test_the_adapter_says_what_it_is(uninterrupted: Path, tiny_llama: Path) -> None:
    folder = uninterrupted / "adapter"
    assert {path.name for path in folder.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "reranker.json",
    }
    data = json.loads((folder / "reranker.json").read_text())
    manifest = manifest_from_json(data, "reranker.json")
    assert manifest.fingerprint == data["fingerprint"]
    assert manifest.tokenizer_sha256 == tokenizer_sha256(tiny_llama)
    assert manifest.licences == ("unknown", "CC0-1.0")
    config = (folder / "adapter_config.json").read_text()
    assert str(tiny_llama) not in config
    assert json.loads(config)["target_modules"] == sorted(json.loads(config)["target_modules"])
    assert all(tensor.dtype == torch.float16 for tensor in weights(folder).values())


def test_a_run_killed_in_mid_step_goes_on_to_the_same_weights(
    tiny_llama: Path, records_file: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    flags = sft_flags(tiny_llama, records_file, folder, checkpoint_steps=2, epochs=2)
    said, _ = (process := start(flags, "-m", "tests.trainer.killed")).communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL, said
    assert (folder / "checkpoints" / "checkpoint-4" / "complete.json").exists()
    assert not (folder / "adapter").exists()
    train(flags)
    expected, found = weights(uninterrupted / "adapter"), weights(folder / "adapter")
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_leg_that_is_over_leaves_an_adapter_and_says_what_comes_next(
    tiny_llama: Path,
    records_file: Path,
    uninterrupted: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = sft_flags(tiny_llama, records_file, tmp_path / "run", epochs=2)
    train([*flags, "--leg", "1", "--leg-minutes", "0.00001"])
    assert "Leg 1 ended (time) at step 1 of 12." in capsys.readouterr().out
    assert (tmp_path / "run" / "adapter" / "reranker.json").exists()
    assert run([*flags, "--leg", "3"]) == 2
    assert "so leg 2 comes next, not 3" in capsys.readouterr().err
    train([*flags, "--leg", "2"])
    assert "Leg 2 ended (finished) at step 12 of 12." in capsys.readouterr().out
    expected, found = weights(uninterrupted / "adapter"), weights(tmp_path / "run" / "adapter")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert run(flags) == 2
    assert "is complete after 2 legs; name another run folder" in capsys.readouterr().err


@pytest.mark.usefixtures("no_plots")
def test_a_leg_scores_both_modes_on_dev(
    tiny_llama: Path, records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dev = beir_folder(tmp_path / "dev", split="dev")
    flags = sft_flags(tiny_llama, records_file, tmp_path / "run", max_steps=1, dev=dev, dev_trace_tokens=4)
    train([*flags, "--dev-modes", "direct,reasoning"])
    (leg,) = (json.loads(line) for line in (tmp_path / "run" / "legs.jsonl").read_text().splitlines())
    found = leg["dev"]
    assert found["score"] == pytest.approx((found["direct"] + found["reasoning"]) / 2, abs=1e-4)
    assert found["oracle"] == 1.0
    said = f"dev nDCG@10 {found['score']:.4f} (direct {found['direct']:.4f}, reasoning {found['reasoning']:.4f}, first"
    assert said in capsys.readouterr().out
    manifest = json.loads((tmp_path / "run" / "adapter" / "reranker.json").read_text())
    assert manifest["scores"] == {"dev nDCG@10": found}


@pytest.mark.usefixtures("no_plots")
def test_a_run_that_goes_on_from_an_adapter_keeps_its_licences_and_its_recipe(
    tiny_llama: Path, records_file: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train(sft_flags(tiny_llama, records_file, first, max_steps=1, base_licence="MIT"))
    path = first / "adapter" / "reranker.json"
    before = json.loads(path.read_text())
    path.write_text(json.dumps(before | {"licences": ["MIT", "CC-BY-NC-4.0"]}))
    adapter = first / "adapter"
    train(sft_flags(tiny_llama, records_file, second, max_steps=1, base_licence="MIT", adapter=adapter, seed=4))
    after = json.loads((second / "adapter" / "reranker.json").read_text())
    assert after["licences"] == ["MIT", "CC-BY-NC-4.0", "CC0-1.0"]
    assert after["recipe"].startswith(f"{before['recipe']}; then limrank-train sft: ")
    assert after["recipe"].endswith("seed 4")


@pytest.mark.usefixtures("no_plots")
def test_a_result_part_of_the_way_lies_between_both_adapters(
    tiny_llama: Path, records_file: Path, tmp_path: Path
) -> None:
    """In one leg or in two: what is trained on is the trained weights, only the result is put back."""
    first = tmp_path / "first" / "adapter"
    train(sft_flags(tiny_llama, records_file, first.parent, max_steps=1))
    made = {}
    for name, kept in (("whole", 1), ("part", 0.25), ("legs", 0.25)):
        flags = sft_flags(tiny_llama, records_file, tmp_path / name, max_steps=3, adapter=first, kept=kept, seed=4)
        if name == "legs":
            train([*flags, "--leg-minutes", "0.00001"])
        train(flags)
        made[name] = weights(tmp_path / name / "adapter")
    before, whole = weights(first), made["whole"]
    assert any((whole[one] - before[one]).abs().max() > 0.01 for one in whole)
    for one, found in made["part"].items():
        assert torch.allclose(found.float(), torch.lerp(before[one].float(), whole[one].float(), 0.25), atol=1e-3)
        assert torch.equal(found, made["legs"][one])
    said = json.loads((tmp_path / "part" / "adapter" / "reranker.json").read_text())["recipe"]
    assert said.endswith("seed 4, 25% of the way from the weights before")


@pytest.mark.usefixtures("no_plots")
def test_a_run_that_ended_before_it_was_told_of_trains_nothing_more(
    tiny_llama: Path, records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after a kill in the dev score behind the last step."""
    folder = tmp_path / "run"
    flags = sft_flags(tiny_llama, records_file, folder, checkpoint_steps=4, max_steps=4, schedule="constant")
    train(flags)
    before = weights(folder / "adapter")
    (folder / "legs.jsonl").unlink()
    shutil.rmtree(folder / "adapter")
    capsys.readouterr()
    train(flags)
    assert "at step 4 of 4" in capsys.readouterr().out
    after = weights(folder / "adapter")
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.usefixtures("no_plots")
def test_a_leg_may_log_and_save_in_other_steps_than_the_one_before(
    tiny_llama: Path, records_file: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    """A checkpoint holds those that it was made with, and the loop would go on with them."""
    folder = tmp_path / "run"
    train([*sft_flags(tiny_llama, records_file, folder, epochs=2), "--leg-minutes", "0.00001"])
    train(sft_flags(tiny_llama, records_file, folder, epochs=2, checkpoint_steps=5, log_steps=4))
    assert [line["step"] for line in log(folder)] == [1, 4, 8, 12]
    kept = {path.name for path in (folder / "checkpoints").glob("checkpoint-*")}
    assert kept == {"checkpoint-10", "checkpoint-12"}, "the last two of 5, 10 and the end"
    expected, found = weights(uninterrupted / "adapter"), weights(folder / "adapter")
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.usefixtures("no_plots")
def test_a_run_that_was_moved_goes_on(
    tiny_llama: Path, records_file: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    base, data, folder = tmp_path / "base", tmp_path / "records.jsonl", tmp_path / "moved"
    train([*sft_flags(tiny_llama, records_file, tmp_path / "run", epochs=2), "--leg-minutes", "0.00001"])
    (tmp_path / "run").rename(folder)
    shutil.copytree(tiny_llama, base)
    shutil.copyfile(records_file, data)
    train(sft_flags(base, data, folder, epochs=2))
    expected, found = weights(uninterrupted / "adapter"), weights(folder / "adapter")
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.usefixtures("no_plots")
def test_a_half_written_checkpoint_is_never_gone_on_from(
    tiny_llama: Path, records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = sft_flags(tiny_llama, records_file, tmp_path / "run", checkpoint_steps=2, max_steps=4)
    train([*flags, "--leg-minutes", "0.00001"])
    broken = tmp_path / "run" / "checkpoints" / "checkpoint-3"
    broken.mkdir()
    (broken / "adapter_model.safetensors").write_bytes(b"half")
    train(flags)
    assert not broken.exists()
    assert "at step 4 of 4" in capsys.readouterr().out


def test_a_dev_folder_that_does_not_match_is_known_before_the_first_step(
    tiny_llama: Path, records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dev = beir_folder(tmp_path / "dev", split="dev")
    strange = tmp_path / "strange.trec"
    strange.write_text("q1 Q0 no-such-passage 1 1.0 first\n")
    assert run(sft_flags(tiny_llama, records_file, tmp_path / "run", dev=dev, dev_candidates=strange)) == 2
    assert "has candidates that its corpus lacks, such as 'no-such-passage'" in capsys.readouterr().err
    strange.write_text("another-query Q0 tea-1 1 1.0 first\n")
    assert run(sft_flags(tiny_llama, records_file, tmp_path / "run", dev=dev, dev_candidates=strange)) == 2
    assert "None of the queries of" in capsys.readouterr().err
    rows = [json.loads(line) for line in (dev / "queries.jsonl").read_text().splitlines()]
    jsonl(dev / "queries.jsonl", [rows[0] | {"text": "why " * 3000}, *rows[1:]])
    assert run(sft_flags(tiny_llama, records_file, tmp_path / "run", dev=dev)) == 2
    said = capsys.readouterr().err
    assert "query 'q1': 'why why" in said
    assert "tokens, which leaves a passage no room in the 20" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_plots")
def test_a_run_goes_on_only_from_an_adapter_of_its_base_and_states_the_adapters_rank(
    tiny_llama: Path, records_file: Path, uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(uninterrupted / "adapter", changed)
    path = changed / "reranker.json"
    stated = json.loads(path.read_text())
    path.write_text(json.dumps(stated | {"temperature": 3.0}))
    assert run(sft_flags(tiny_llama, records_file, tmp_path / "run", adapter=changed)) == 2
    assert "was changed after it was made: its fingerprint does not fit" in capsys.readouterr().err
    flags = sft_flags(tiny_llama, records_file, tmp_path / "run", adapter=uninterrupted / "adapter", rank=8)
    train([*flags, "--max-steps", "1"])
    recipe = json.loads((tmp_path / "run" / "adapter" / "reranker.json").read_text())["recipe"]
    assert recipe.count("LoRA rank 4, alpha 8") == 2


def test_other_settings_in_the_same_folder_are_refused(
    tiny_llama: Path, records_file: Path, uninterrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(sft_flags(tiny_llama, records_file, uninterrupted, epochs=2, learning_rate=0.5)) == 2
    assert "was begun with learning_rate = 0.03, not 0.5; go on with the same settings" in capsys.readouterr().err


def test_a_dry_run_says_tokens_steps_memory_and_hours_and_writes_nothing(
    tiny_llama: Path, records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train([*sft_flags(tiny_llama, records_file, tmp_path / "run", epochs=2), "--dry-run", "--measure-seconds", "0.1"])
    said = capsys.readouterr().out
    for line in ("examples          96", "steps             12", "memory            about", "hours             about"):
        assert line in said
    assert " GiB at most here, measured\n" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"base": "nowhere"}, "nowhere cannot be read: No such file"),
        ({"data": "nowhere.jsonl"}, "nowhere.jsonl cannot be read"),
        ({"batch": 9}, "A batch of 9 does not divide into 1 processes of 4 examples"),
        ({"kept": 0.5}, "--kept below 1 needs --adapter, where the way begins"),
        ({"dev": "nowhere"}, "nowhere"),
        ({"rank": 0}, "'rank' is '0': Input should be greater than or equal to 1"),
        ({"config": "no-such"}, "There is no config 'no-such': name one of"),
    ],
)
def test_bad_settings_are_one_sentence(
    tiny_llama: Path,
    records_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, object],
    sentence: str,
) -> None:
    given = {"base": tiny_llama, "data": records_file} | change
    base, data = given.pop("base"), given.pop("data")
    assert run(sft_flags(Path(str(base)), Path(str(data)), tmp_path / "run", **given)) == 2
    said = capsys.readouterr().err
    assert any(part in said for part in sentence.split("|")), said
    assert not (tmp_path / "run").exists(), "a folder would bind the next try to what was refused"
    assert said.count("\n") <= 2


@pytest.mark.parametrize(
    ("log_steps", "checkpoint_steps", "what"),
    [(1, None, "loss"), (100, 2, "weights"), (100, None, "weights")],
    ids=["log", "checkpoint", "end"],
)
def test_a_run_whose_weights_are_no_numbers_ends_with_a_sentence_and_leaves_nothing_to_load(
    tiny_llama: Path,
    records_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    log_steps: int,
    checkpoint_steps: int | None,
    what: str,
) -> None:
    flags = {"learning_rate": 1e38, "schedule": "constant", "warmup": 0, "log_steps": log_steps}
    steps = {} if checkpoint_steps is None else {"checkpoint_steps": checkpoint_steps}
    folder, before = tmp_path / "run", signal.getsignal(signal.SIGTERM)
    assert run(sft_flags(tiny_llama, records_file, folder, **flags, **steps)) == 2
    assert f"The {what} of the training became NaN or infinite by step" in capsys.readouterr().err
    assert not (folder / "adapter").exists()
    assert not list(folder.rglob("complete.json"))
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("kind", ["gpt2", "opt"])
def test_sequences_beyond_the_base_s_table_of_positions_are_refused(
    kind: str, tiny_llama: Path, records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a run begins; 160 tokens are allowed and the longest sequence has fewer."""
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 49152}
    more = {"opt": {"ffn_dim": 32, "word_embed_proj_dim": 32}}.get(kind, {})
    config = AutoConfig.for_model(kind, max_position_embeddings=40, **sizes, **more)
    model: Any = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    model.save_pretrained(tmp_path / "base")
    shutil.copyfile(tiny_llama / "tokenizer.json", tmp_path / "base" / "tokenizer.json")
    assert run(sft_flags(tmp_path / "base", records_file, tmp_path / "run")) == 2
    assert "base has positions for 40 tokens, and the longest sequence has" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
