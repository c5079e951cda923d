"""The JSON files beside a model's weights: a value of another kind than a reader expects is a sentence, in every field.

These files are other libraries' and people's, and a start must never end in a traceback because of one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.prompt import ContractError
from service.errors import ModelStoreError
from service.models.calibration import calibrated
from service.models.checkpoint import Checkpoint, open_checkpoint
from service.models.formats import read_format_file, stated_format
from service.models.library import template
from service.models.store import resolve
from tests.contract.formats.references import tokenizer_named
from tests.service.models import logit_score_folders
from tests.service.models.damaged import cross_encoder_folder
from tests.service.models.logit_score_folders import save_logit_score
from tests.tokenizers import small_qwen3_like_tokenizer

KINDS: list[Any] = ["x", -1, [1], {"a": 1}, True, 10**400]
LIBRARY = {
    "modules.json": [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}],
    "sentence_bert_config.json": {"max_seq_length": 64, "do_lower_case": False, "modality_config": {}},
    "config_sentence_transformers.json": {
        "activation_fn": "torch.nn.modules.linear.Identity",
        "prompts": {"query": "q: ", "document": "d: "},
        "default_prompt_name": None,
    },
}
LISTED = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}, "num_labels": 1}

READ = {  # by names, and by places in lists
    *(*LISTED, "model_max_length", "model_input_names", "tokenizer_class", "max_seq_length", "modality_config"),
    *("prompts", "activation_fn", "true_token_id", "processing_kwargs", 0),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = tmp_path_factory.mktemp("stated")
    encoder = cross_encoder_folder(made / "encoder")
    (encoder / "reranker.json").unlink()
    for name, value in LIBRARY.items():
        (encoder / name).write_text(json.dumps(value))
    tokens = {"model_max_length": 64, "model_input_names": ["input_ids"], "tokenizer_class": "BertTokenizerFast"}
    change(encoder / "tokenizer_config.json", tokens)
    change(encoder / "config.json", LISTED | {"sentence_transformers": {}, "sbert_ce_default_activation_function": "x"})
    causal = save_logit_score(
        made / "logit", small_qwen3_like_tokenizer(), logit_score_folders.QWEN3, ("yes", "no"), prompt="Find it."
    )
    return {"cross-encoder": encoder, "logit score": causal}


def change(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def opened(folder: Path) -> Checkpoint:
    return open_checkpoint(folder, "m", weights=False)


def fields(folder: Path) -> Iterator[tuple[Path, str, Any]]:
    """Every field of every JSON file that a library wrote, in objects within objects too, as (file, name, content with
    a mark in its place)."""
    for path in sorted(folder.rglob("*.json")):
        if path.name not in ("tokenizer.json", "reranker.json"):
            for place in _places(json.loads(path.read_text())):
                yield path, ".".join(map(str, place)), place


def _places(value: Any, begin: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if len(begin) < 3:
            yield (*begin, key)
            yield from _places(inner, (*begin, key))


def _put(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    whole = value
    for key in place[:-1]:
        value = value[key]
    value[place[-1]] = new
    return whole


@pytest.mark.parametrize("kind", ["cross-encoder", "logit score"])
def test_a_value_of_another_kind_is_a_sentence_or_makes_no_difference(
    folders: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "_RENDERED_TEXTS", 1)  # it is rendered anew for each value
    opened(folders[kind])
    refusals = 0
    for path, name, place in fields(folders[kind]):
        content = path.read_text()
        for new in KINDS if place[0] in READ else ():
            path.write_text(json.dumps(_put(json.loads(content), place, new)))
            try:
                opened(folders[kind])
            except ModelStoreError as error:
                refusals += 1
                said = str(error)
                assert said.endswith("."), (path.name, name, new, said)
                assert "\n" not in said, (path.name, name, new, said)
            except Exception as error:
                raise AssertionError(f"{path.name}: {name} = {str(new)[:40]!r} is {error!r}") from error
        path.write_text(content)
    assert refusals > 30


@pytest.mark.parametrize(
    ("kind", "file", "values", "said"),
    [
        ("cross-encoder", "config.json", {"id2label": {"a": "x"}}, "id2label must name outputs by numbers"),
        ("cross-encoder", "config.json", {"architectures": "x"}, "architectures is 'x'; it must be a list"),
        ("cross-encoder", "tokenizer_config.json", {"model_max_length": "512"}, "model_max_length is '512'"),
        ("cross-encoder", "sentence_bert_config.json", {"max_seq_length": [1]}, "must be a number"),
        ("cross-encoder", "config_sentence_transformers.json", {"prompts": ["a"]}, "prompts is .* an object"),
        ("cross-encoder", "config_sentence_transformers.json", {"prompts": {"query": 1}}, "prompts: query is '1'"),
        ("logit score", "config_sentence_transformers.json", {"default_prompt_name": {}}, "default_prompt_name"),
        ("logit score", "sentence_bert_config.json", {"modality_config": {"message": 7}}, "message is '7'"),
        ("logit score", "1_LogitScore/config.json", {"true_token_id": "yes"}, "true_token_id is 'yes'"),
    ],
)
def test_the_sentence_names_file_and_field(
    folders: dict[str, Path], tmp_path: Path, kind: str, file: str, values: dict[str, Any], said: str
) -> None:
    folder = Path(shutil.copytree(folders[kind], tmp_path / "m"))
    change(folder / file, values)
    with pytest.raises(ModelStoreError, match=said) as refusal:
        opened(folder)
    assert file.rpartition("/")[2] in str(refusal.value)


@pytest.mark.parametrize("content", ["", "{", "[1]", '["x"]', '{"a": 1}', "[" * 50_000, "\xff"])
@pytest.mark.parametrize("file", ["modules.json", "chat_template.jinja", "1_LogitScore/config.json"])
def test_files_of_a_logit_score_that_are_no_such_files(
    folders: dict[str, Path], tmp_path: Path, file: str, content: str
) -> None:
    folder = Path(shutil.copytree(folders["logit score"], tmp_path / "m"))
    (folder / file).write_bytes(content.encode("latin-1"))
    with pytest.raises(ModelStoreError) as refusal:
        opened(folder)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("place", ["../elsewhere", "/etc", "a/../../b"])
def test_a_module_outside_of_its_folder_is_not_read(folders: dict[str, Path], tmp_path: Path, place: str) -> None:
    folder = Path(shutil.copytree(folders["logit score"], tmp_path / "m"))
    found = json.loads((folder / "modules.json").read_text())
    found[1]["path"] = place
    (folder / "modules.json").write_text(json.dumps(found))
    with pytest.raises(ModelStoreError, match="is no folder beside it"):
        opened(folder)


@pytest.mark.parametrize(
    "name", ["~nosuchuser/x.yaml", "x" * 5000 + ".yaml", "a/" + "b" * 5000, "a\0/b.yaml", "/dev/nul"]
)
def test_a_format_that_no_file_can_be_is_a_sentence(name: str) -> None:
    with pytest.raises(ContractError, match=r"--format") as refusal:
        stated_format(name, tokenizer_named("qwen3-like"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "text", ["[" * 20_000, "scale: .nan", "scale: .inf", "offset: -.inf", "scale: 1" + "0" * 400, "grades: {a: .nan}"]
)
def test_a_format_with_numbers_that_are_none_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(text if text.startswith("[") else f"name: x\nprompt: '{{query}} {{document}}'\n{text}\n")
    with pytest.raises(ContractError) as refusal:
        read_format_file(path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "value", [float("inf"), -1, 10**400, "x", [], float("nan"), None], ids=lambda value: str(value)[:8]
)
def test_a_calibration_whose_temperature_is_none_is_refused(
    folders: dict[str, Path], tmp_path: Path, value: Any
) -> None:
    checkpoint = opened(folders["cross-encoder"])
    identity = {"mode": "direct", "fingerprint": checkpoint.manifest.fingerprint}
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({"identity": identity, "temperature": {"value": value}}))
    with pytest.raises(ModelStoreError, match="--calibration"):
        calibrated(checkpoint, [str(path)])
    assert calibrated(checkpoint, []) == checkpoint


@pytest.mark.parametrize("name", ["~nosuchuser/c.json", "x" * 5000, "[" * 20_000])
def test_a_calibration_that_cannot_be_read_is_a_sentence(folders: dict[str, Path], tmp_path: Path, name: str) -> None:
    path = tmp_path / "nested.json"
    path.write_text(name)
    with pytest.raises(ModelStoreError, match="--calibration"):
        calibrated(opened(folders["cross-encoder"]), [str(path) if name.startswith("[") else name])


def test_a_home_that_cannot_be_found_ends_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's user has no entry in the list of users, and sometimes no HOME."""
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(ModelStoreError, match="nor a folder"):
        resolve("~/no/such/model")
