"""Merging: what goes in comes out, within 1e-4; what does not fit is one sentence and leaves nothing loadable."""

from __future__ import annotations

import json
import re
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from cli.settings import read_command
from contract.checkpoint.manifest import manifest_from_json, read_manifest
from service.errors import ModelStoreError
from service.models.checkpoint import open_checkpoint
from tests.evaluation.small_data import DOCUMENTS, FOUND, QUERIES, beir_folder
from tests.trainer.running import sft_flags, train, weights
from trainer.cli import run
from trainer.errors import BadBase
from trainer.publish.model_card import model_card, read_results
from trainer.run.dev_score import DevSet, dev_score
from trainer.settings import PROGRAM, Merge
from trainer.sft.examples import load_segments
from trainer.sft.lora import load_base, load_lora, save_lora
from trainer.sft.scorer import CausalScorer

PASSAGES = ("Often oak rots after 3 days.", "It is so. " * 30, "")


@pytest.fixture(scope="module")
def adapter(tiny_llama: Path, records_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter") / "run"
    train(sft_flags(tiny_llama, records_file, folder))
    return folder / "adapter"


def flags(base: Path, adapter: Path, out: Path, dtype: str = "float32") -> list[str]:
    return ["merge", "--base", str(base), "--adapter", str(adapter), "--out", str(out), "--dtype", dtype]


def test_merged_and_unmerged_agree_and_the_service_takes_the_folder(
    tiny_llama: Path, adapter: Path, tmp_path: Path
) -> None:
    train(flags(tiny_llama, adapter, tmp_path / "merged"))
    segments = load_segments(tiny_llama)
    unmerged = CausalScorer(load_lora(load_base(tiny_llama), adapter), segments)
    merged = CausalScorer(AutoModelForCausalLM.from_pretrained(tmp_path / "merged"), segments)
    before, after, base = (
        scorer.score("When rots oak?", PASSAGES, "Only passages on the same thing count.")
        for scorer in (unmerged, merged, CausalScorer(load_base(tiny_llama), segments))
    )
    assert after == pytest.approx(before, abs=1e-4)
    assert max(abs(one - two) for one, two in zip(before, base, strict=True)) > 0.01
    assert (tmp_path / "merged" / "tokenizer.json").read_bytes() == (tiny_llama / "tokenizer.json").read_bytes()
    checkpoint = open_checkpoint(tmp_path / "merged", "merged")
    assert checkpoint.manifest.recipe.startswith("limrank-train sft: LoRA rank 4")


def told(name: str) -> str:
    """A document as a passage: title and text."""
    return " ".join(DOCUMENTS[name])


def test_bfloat16_is_stored_and_the_card_says_what_it_changes(
    tiny_llama: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(flags(tiny_llama, adapter, tmp_path / "merged", "bfloat16"))
    assert {tensor.dtype for tensor in weights(tmp_path / "merged").values()} == {torch.bfloat16}
    said = capsys.readouterr().out
    changed = float(said.split("In bfloat16 they change by at most ")[1].split(" in 7 pairs.\n")[0])
    assert 0 < changed < 1
    card = (tmp_path / "merged" / "README.md").read_text()
    assert f"weights are stored as bfloat16, which changes log-odds by at most {changed:.4f} in 7 pairs" in card
    assert "pipeline_tag: text-ranking" in card
    assert "- nothing yet" in card, "no score that nobody measured"


def test_a_dev_score_is_measured_before_and_after_rounding(
    tiny_llama: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dev = beir_folder(tmp_path / "dev", split="dev")
    train([*flags(tiny_llama, adapter, tmp_path / "merged", "bfloat16"), "--dev", str(dev)])
    said = capsys.readouterr().out
    found = re.search(r", dev nDCG@10 from (0\.\d{4}|1\.0000) to (0\.\d{4}|1\.0000)\.\n", said)
    assert found
    card = (tmp_path / "merged" / "README.md").read_text()
    assert f"- dev nDCG@10, direct mode: {found[1]} in float32, {found[2]} as stored\n" in card
    segments = load_segments(tiny_llama)
    exact, rounded = (
        [
            odds
            for query, names in FOUND.items()
            for odds in scorer.score(QUERIES[query], [told(name) for name in names])
        ]
        for scorer in (
            CausalScorer(load_lora(load_base(tiny_llama), adapter), segments),
            CausalScorer(load_base(tmp_path / "merged", "bfloat16"), segments),
        )
    )
    changed = re.search(r"by at most (\S+) in 19 pairs, dev", said)
    assert changed, "three dev queries with four candidates each beside the seven probes"
    of_dev = max(abs(a - b) for a, b in zip(exact, rounded, strict=True))
    assert float(changed[1]) >= round(of_dev, 4) > 0, "as whoever loads the folder in bfloat16 has it"
    settings = read_command(
        Merge, PROGRAM, "merge", [*flags(tiny_llama, adapter, tmp_path)[1:], "--dev", str(dev)], [Merge]
    )
    for number, model in ((1, load_lora(load_base(tiny_llama), adapter)), (2, load_base(tmp_path / "merged"))):
        scored = dev_score(CausalScorer(model, segments), DevSet.of(settings))
        assert scored is not None
        assert found[number] == f"{scored['score']:.4f}"


def test_measured_scores_go_into_card_and_manifest(tiny_llama: Path, adapter: Path, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    protocol = {"first_stage": "bm25", "depth": 30, "passage": "title and text"}
    measures = {"nDCG@10": {"mean": 0.81234, "low": 0.7, "high": 0.9}}
    result.write_text(json.dumps({"task": "medquad/dev", "queries": 60, "protocol": protocol, "measures": measures}))
    train([*flags(tiny_llama, adapter, tmp_path / "merged"), "--results", str(result)])
    card = (tmp_path / "merged" / "README.md").read_text()
    assert "- medquad/dev, bm25 top 30 (60 queries; title and text): nDCG@10 0.8123" in card
    manifest = read_manifest(tmp_path / "merged")
    assert manifest is not None
    assert manifest.scores["medquad/dev, bm25 top 30"] == {"nDCG@10": 0.8123}
    nc = replace(manifest, licences=("CC-BY-NC-SA-4.0",))
    assert "not for commercial use" in model_card(nc, None, read_results([result]))


def test_what_does_not_fit_is_refused(
    tiny_llama: Path, tiny_bert: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_llama, other)
    text = (other / "tokenizer.json").read_text()
    (other / "tokenizer.json").write_text(text + "\n")
    changed = tmp_path / "changed"
    shutil.copytree(adapter, changed)
    manifest = json.loads((changed / "reranker.json").read_text())
    (changed / "reranker.json").write_text(json.dumps(manifest | {"temperature": 3.0}))
    for base, tuned, sentence in (
        (other, adapter, "was trained with another tokenizer"),
        (tiny_llama, changed, "was changed after it was made: its fingerprint does not fit"),
        (tiny_llama, tmp_path, "reranker.json cannot be read"),
        (tmp_path, adapter, "has no tokenizer.json; correct --base"),
    ):
        assert run(flags(base, tuned, tmp_path / "out")) == 2
        assert sentence in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_an_adapter_of_another_model_is_refused(
    tiny_llama: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_llama, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    assert run(flags(other, adapter, tmp_path / "out")) == 2
    assert "does not fit its base" in capsys.readouterr().err


@contextmanager
def small_files(most_bytes: int) -> Iterator[None]:
    """Within, a file that grows longer cannot be written: Python ignores the signal and the write fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_model_in_which_no_adapter_is_found_is_not_written(tiny_llama: Path, adapter: Path, tmp_path: Path) -> None:
    model = load_lora(load_base(tiny_llama), adapter)
    with pytest.raises(BadBase, match="No LoRA weights are found in the trained tiny"):
        save_lora(model, tmp_path, weights={}, base_name="tiny", dtype=torch.float16)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_while_saving_leaves_no_checkpoint(
    tiny_llama: Path, adapter: Path, records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_files(100_000):
        assert run(flags(tiny_llama, adapter, tmp_path / "out")) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ModelStoreError, match="no model folder"):
        open_checkpoint(tmp_path / "out", "out")
    with small_files(8_000):
        assert run(sft_flags(tiny_llama, records_file, tmp_path / "run", checkpoint_steps=2)) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert not (tmp_path / "run" / "adapter").exists()
    assert not list((tmp_path / "run" / "checkpoints").glob("*/complete.json"))
    train(sft_flags(tiny_llama, records_file, tmp_path / "run", checkpoint_steps=2))
    assert (tmp_path / "run" / "adapter" / "reranker.json").exists()


def test_only_a_better_model_that_may_ship_goes_into_the_package(
    adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def scored(score: float | None, licence: str = "CC0-1.0") -> None:
        data = json.loads((adapter / "reranker.json").read_text())
        manifest = manifest_from_json(data, "reranker.json")
        dev = {} if score is None else {"dev nDCG@10": {"score": score, "before": 0.5, "oracle": 1.0}}
        replace(manifest, scores=dev, licences=(licence,)).write(adapter)

    words = ["package", "--folder", str(adapter.parent), "--weights", str(tmp_path), "--name", "limrank-mini"]
    scored(0.8)
    assert run(words) == 0
    assert {path.name for path in (tmp_path / "limrank-mini").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "reranker.json",
    }
    assert run(words) == 0
    assert "holds the result of" in capsys.readouterr().out

    def fitted(folder: Path, value: float) -> None:
        stated = manifest_from_json(json.loads((folder / "reranker.json").read_text()), "reranker.json")
        replace(stated, temperature=value).write(folder)

    packaged = tmp_path / "limrank-mini"
    fitted(adapter, 1.5)
    assert run(words) == 0
    assert "already; its temperatures are new" in capsys.readouterr().out
    assert (packaged / "reranker.json").read_bytes() == (adapter / "reranker.json").read_bytes()
    fitted(adapter, 1.0)
    assert run(words) == 0
    assert json.loads((packaged / "reranker.json").read_text())["temperature"] == 1.5, "fitted, and these are not"
    for score, licence, sentence in ((0.7, "MIT", "has 0.8; it stays"), (0.9, "CC-BY-NC-4.0", "must allow commercial")):
        scored(score, licence)
        assert run(words) == 2
        assert sentence in capsys.readouterr().err
    scored(0.9, "unknown")
    assert run(words) == 2
    assert "does not say what it is under" in capsys.readouterr().err
    scored(None)
    assert run(words) == 2
    assert "has no dev nDCG@10, so nobody knows whether it is better" in capsys.readouterr().err
    scored(0.7)
    assert run([*words, "--even-if-worse"]) == 0


def test_fitted_temperatures_go_into_the_manifest(
    adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = manifest_from_json(json.loads((adapter / "reranker.json").read_text()), "reranker.json")

    def fitted(
        mode: str, value: float | None, fingerprint: str = before.fingerprint, data: str | None = before.data_sha256
    ) -> str:
        path = tmp_path / f"{mode}-{value}-{fingerprint[:4]}-{str(data)[:4]}.json"
        identity = {"mode": mode, "fingerprint": fingerprint, "data_sha256": data}
        path.write_text(json.dumps({"identity": identity, "temperature": None if value is None else {"value": value}}))
        return str(path)

    def calibrate(*results: str) -> int:
        return run(["calibrate", "--weights", str(adapter), "--results", ",".join(results)])

    for wrong, sentence in (
        (fitted("direct", None), "no fitted temperature"),
        (fitted("direct", 2.0, "f" * 64), "measured with the model of fingerprint ffffffffffff"),
        (fitted("direct", 2.0, data="e" * 64), "measured with a model trained on the data of sha256 eeeeeeeeeeee"),
        (str(tmp_path / "nowhere.json"), "is no calibration.json"),
    ):
        assert calibrate(wrong) == 2
        assert sentence in capsys.readouterr().err
    assert calibrate(fitted("direct", 1.25), fitted("reasoning", 3.0)) == 0
    after = manifest_from_json(json.loads((adapter / "reranker.json").read_text()), "reranker.json")
    assert after == replace(before, temperature=1.25, reasoning_temperature=3.0)
    assert calibrate(fitted("direct", 1.25)) == 2  # measured before it had a temperature
    assert calibrate(fitted("direct", 2.0, after.fingerprint)) == 0
    now = manifest_from_json(json.loads((adapter / "reranker.json").read_text()), "reranker.json")
    assert (now.temperature, now.reasoning_temperature) == (2.5, 3.0)


def test_weights_that_are_no_numbers_are_no_model(
    tiny_llama: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt, large = tmp_path / "spoilt", tmp_path / "large"
    shutil.copytree(adapter, spoilt)
    tensors = weights(spoilt)
    tensors[next(iter(tensors))].fill_(float("nan"))
    save_file(tensors, spoilt / "adapter_model.safetensors", metadata={"format": "pt"})
    assert run(flags(tiny_llama, spoilt, tmp_path / "out")) == 2
    assert "cannot be merged" in capsys.readouterr().err
    shutil.copytree(tiny_llama, large)
    tensors = weights(large)
    name = next(name for name in tensors if "mlp.down_proj" in name)
    tensors[name] = tensors[name] * 1e7  # the next layer's norm takes it back, but float16 cannot hold it
    save_file(tensors, large / "model.safetensors", metadata={"format": "pt"})
    assert run(flags(large, adapter, tmp_path / "out", "float16")) == 2
    assert "In float16 the model's log-odds are not all numbers" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    train(flags(large, adapter, tmp_path / "out", "bfloat16"))
