"""`limrank-serve inspect MODEL` says what a model is, how it is asked and read, and the line that is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from service.main import run
from service.models.checkpoint import Checkpoint
from service.models.store import resolve
from tests.contract.formats.references import tokenizer_named
from tests.service.engines.cross_encoder.tiny_classifiers import write_classifier
from tests.service.engines.tiny_models import save_tiny_model
from tests.service.models import logit_score_folders
from tests.service.models.logit_score_folders import save_logit_score


def inspected(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()  # what the library said when the test saved its model
    code = run(["inspect", *words], {})
    told = capsys.readouterr()
    return code, told.out + told.err


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "Qwen3-Reranker-0.6B"
    return save_tiny_model(folder, "qwen3", tokenizer_named("qwen3-like"))


def test_a_model_known_by_its_name(qwen3: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = inspected(capsys, str(qwen3))
    assert code == 0, told
    assert "Qwen3ForCausalLM (qwen3)" in told
    assert "format        qwen3-reranker, from the words in its name: qwen3-reranker" in told
    assert "'yes' (9693) against 'no' (2152)" in told
    assert "    <Instruct>: Only definitions count." in told
    assert "ids: 151644 8948 198 " in told
    assert "modes         direct\n" in told
    assert "limit         4096 tokens" in told
    assert "not fitted to labels" in told
    assert told.endswith("missing       nothing\n")


def test_a_format_of_grades(qwen3: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = inspected(capsys, "--model", str(qwen3), "--format", "erank")
    assert code == 0
    assert "read          behind '1': '0' (15)" in told
    assert "modes         direct, reasoning" in told
    assert "an order only" in told


def test_a_type_that_only_vllm_may_run(qwen3: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As LightOn-rerank-PW's Qwen3.5 is."""
    folder = Path(shutil.copytree(qwen3, tmp_path / "zerank-2"))
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "qwen3_5_text"}
    (folder / "config.json").write_text(json.dumps(config))
    code, told = inspected(capsys, str(folder))
    assert code == 0
    assert "note          the transformers engine runs no models of type 'qwen3_5_text'; serve it with --engine" in told
    assert "note" not in inspected(capsys, str(qwen3))[1]


def _headers_only(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: 8 + int.from_bytes(content[:8], "little")])


def test_no_weights_are_needed_but_their_headers(
    qwen3: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of one file, of several with an index, of a classifier; without any there is a line for what is missing."""
    named = Path(shutil.copytree(qwen3, tmp_path / qwen3.name))
    classifier = write_classifier(tmp_path / "bert", "bert")
    for folder in (named, classifier):
        whole = inspected(capsys, str(folder))
        _headers_only(folder / "model.safetensors")
        code, told = inspected(capsys, str(folder))
        assert (code, whole[0]) == (0, 0), told
        assert [line for line in told.splitlines() if not line.startswith("note ")] == whole[1].splitlines()
        assert "note          model.safetensors has " in told
    single, index = named / "model.safetensors", named / "model.safetensors.index.json"
    single.rename(named / "model-00001-of-00001.safetensors")
    header = json.loads((named / "model-00001-of-00001.safetensors").read_bytes()[8:])
    tensors = dict.fromkeys((name for name in header if name != "__metadata__"), "model-00001-of-00001.safetensors")
    index.write_text(json.dumps({"weight_map": tensors}))
    assert inspected(capsys, str(named))[0] == 0
    index.unlink()
    code, told = inspected(capsys, str(named))
    assert code == 1
    assert "'yes' (9693) against 'no' (2152)" in told, "all that is known is told"
    assert told.splitlines()[-1].startswith(f"missing       {named} has neither model.safetensors nor")


def test_a_fitted_temperature_that_is_given(qwen3: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "calibration.json"
    fitted = {"identity": {"mode": "direct", "fingerprint": resolve(str(qwen3)).manifest.fingerprint}}
    file.write_text(json.dumps(fitted | {"temperature": {"value": 2.5}}))
    code, told = inspected(capsys, str(qwen3), "--calibration", str(file))
    assert code == 0, told
    assert "temperature   2.5 direct" in told
    assert "a score is    a probability, fitted to labels" in told
    code, told = inspected(capsys, str(qwen3), "--format", "zerank", "--calibration", str(file))
    assert code == 1
    assert "was measured with the model of fingerprint" in told.splitlines()[-1]


def test_the_embedded_models(embedded_checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = inspected(capsys, str(embedded_checkpoint.folder))
    assert code == 0
    assert "format        limrank, from reranker.json" in told
    assert "' true' (2629) against ' false' (7065)" in told


def test_what_is_added_to_a_classifiers_output(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = inspected(capsys, "limrank-mini-ce")
    assert code == 0
    assert "output        a classifier's plus 14 times a bi-encoder's cosine" in told


def test_an_unknown_model_gets_the_exact_line_to_add(qwen3: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = qwen3.parent / "my-model"
    other.symlink_to(qwen3)
    code, told = inspected(capsys, str(other))
    assert code in (0, 1)  # a link resolves to the folder that it names
    plain = save_tiny_model(qwen3.parent / "plain", "llama", tokenizer_named("small-qwen3-like"))
    code, told = inspected(capsys, str(plain))
    assert code == 1
    assert "missing       " in told
    assert "--format, by name (limrank, qwen3-reranker" in told


def test_a_scale_that_the_folder_states_and_the_format_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = tokenizer_named("small-qwen3-like")
    folder = save_logit_score(tmp_path / "theirs", tokenizer, logit_score_folders.ZERANK, ("Yes", None))
    assert inspected(capsys, str(folder))[0] == 0
    stated = folder / "1_LogitScore" / "config.json"
    stated.write_text(json.dumps(json.loads(stated.read_text()) | {"scale": 5.0}))
    code, told = inspected(capsys, str(folder))
    assert code == 1
    assert "1_LogitScore/config.json states scale 5" in told
    assert "has the line: scale: 5" in told


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"is_encoder_decoder": True}, "is an encoder-decoder (Qwen3ForCausalLM), which no engine runs"),
        ({"model_type": "own", "auto_map": {"AutoModel": "m.M"}}, "needs code from its own repository (auto_map"),
    ],
)
def test_what_no_engine_runs(
    values: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_tiny_model(tmp_path / "zerank-2", "qwen3", tokenizer_named("small-qwen3-like"))
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | values))
    code, told = inspected(capsys, str(folder))
    assert code == 1
    assert said in told


def test_a_cross_encoder_shows_its_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_classifier(tmp_path / "ms-marco-tiny", "bert")
    code, told = inspected(capsys, str(folder))
    assert code == 0, told
    assert "BertForSequenceClassification (bert)" in told
    assert "kind          cross-encoder" in told
    assert "    [CLS] what is a lipid? [SEP] lipids are fats. [SEP]\n    ids: 101 2054 2003 " in told
    assert "    [CLS] what is a lipid? only definitions count. [SEP] lipids are fats. [SEP]" in told
    assert "read          the one output for each pair of query and passage" in told
    assert "relevance     the sigmoid, since its files name no activation into [0, 1]" in told
    assert "an order only" in told
    assert told.endswith("missing       nothing\n")
    config = json.loads((folder / "config.json").read_text())
    for named, said in (
        ({"sbert_ce_default_activation_function": "torch.nn.modules.activation.Hardsigmoid"}, "the hard sigmoid"),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.activation.Sigmoid"}, "sigmoid, the model's own"),
        ({"id2label": {"0": "yes", "1": "no"}}, "output 0 less the other one for each pair"),
        (
            {"auto_map": {"AutoModelForSequenceClassification": "m.M"}},
            "note          auto_map in its config.json names",
        ),
    ):
        (folder / "config.json").write_text(json.dumps(config | named))
        code, told = inspected(capsys, str(folder))
        assert (code, said in told) == (0, True), told


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "has no config.json, so it is not a model folder"),
        ({"config.json": "{"}, "is not JSON"),
        ({"config.json": "[]"}, "must hold a JSON object"),
        (
            {"config.json": '{"model_type": "bert"}'},
            "has no tokenizer.json, and transformers makes none of",
        ),
        ({"config.json": '{"architectures": 5}', "tokenizer.json": "{}"}, "architectures is '5'; it must be a list"),
        ({"config.json": '{"architectures": []}', "tokenizer.json": "{}"}, "does not say the model's model_type"),
        ({"config.json": '{"model_type": "bert"}', "tokenizer.json": "{"}, "cannot be read"),
        ({"adapter_config.json": "{}"}, "holds an adapter and no model"),
    ],
)
def test_a_broken_folder_is_told_of_in_one_line(
    files: dict[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    code, told = inspected(capsys, str(tmp_path))
    assert code == 1
    assert f"folder        {tmp_path}" in told
    assert told.splitlines()[-1].startswith("missing       ")
    assert said in told.splitlines()[-1]


def test_no_such_model(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = inspected(capsys, "/no/such/folder")
    assert code == 2
    assert "neither an embedded model" in told
