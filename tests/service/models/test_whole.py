"""A checkpoint that is not whole is never served: every damage is a sentence that names the file or the tensor."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.utils import logging as transformers_logging

from service.engines.whole import _shown_loading, load_whole
from service.errors import EngineFailed, ModelStoreError, StartupError
from service.main import compose
from service.models.checkpoint import Checkpoint
from service.models.store import resolve
from service.settings import Settings
from tests.seam import Job, score
from tests.service.models.damaged import (
    WEIGHTS,
    Damage,
    configured,
    cross_encoder_folder,
    filled,
    restate,
    sharded,
    tensors,
    without,
)
from tests.service.models.test_embedded_adapter import save_adapter
from tests.warm import run_warm

CLOSE = 1e-5  # sums of the same numbers, which lie elsewhere in memory
JOB = Job("one", "how is gout treated", ("Gout is treated with colchicine.", "true", ""))


@pytest.fixture(scope="module")
def tiny(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return resolve("smollm2-135m-instruct", gguf=tiny_gguf, cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def whole(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = tmp_path_factory.mktemp("whole")
    causal = Path(shutil.copytree(tiny.folder, made / "causal"))
    (causal / "contents.json").unlink()
    return {"causal": causal, "cross-encoder": cross_encoder_folder(made / "ce")}


async def _start(folder: Path) -> list[float]:
    composition = compose(Settings(model=str(folder), engine="auto", threads=1))
    engine = composition.watch._engine
    try:
        await composition.watch.warm_up()
        return [verdict.log_odds for verdict in await score(engine, JOB)]
    finally:
        await engine.close()


def start(folder: Path) -> list[float]:
    """What the server does with a model before it listens, and the scores of one call."""
    return asyncio.run(_start(folder))


def nothing(folder: Path) -> None:
    pass


def extra_layer(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return found | {f"{name}.again": tensor.clone() for name, tensor in list(found.items())[:1]}


def shape(part: str) -> Damage:
    return tensors(lambda found: {n: t[:5].contiguous() if part in n else t for n, t in found.items()})


def lacks_a_shard(folder: Path, names: dict[str, str]) -> None:
    (folder / sorted(set(names.values()))[1]).unlink()


def outside(folder: Path, names: dict[str, str]) -> None:
    names[next(iter(names))] = "../../../etc/passwd"


def in_the_wrong_shard(folder: Path, names: dict[str, str]) -> None:
    first, second = sorted(set(names.values()))
    names[next(name for name, file in names.items() if file == first)] = second


def unknown_tensor(folder: Path, names: dict[str, str]) -> None:
    names["model.layers.7.weight"] = next(iter(names.values()))


def huge_header(folder: Path) -> None:
    header = json.dumps({f"t{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(700_000)})
    (folder / WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header.encode())


def empty_header(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((8).to_bytes(8, "little") + b"{}      ")


def two_models(folder: Path) -> None:
    kept = (folder / WEIGHTS).read_bytes()
    sharded()(folder)
    (folder / WEIGHTS).write_bytes(kept)


def integers(part: str) -> Damage:
    return tensors(lambda found: {n: t.to(torch.int32) if part in n else t for n, t in found.items()})


def other_name(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "w.safetensors")


def an_adapter_too(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")


def other_head(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return found | {"lm_head.weight": found["model.embed_tokens.weight"] + 1}


DAMAGES: list[tuple[str, str, Damage, str]] = [
    ("cross-encoder", "no classifier", without("classifier"), "lacks classifier.bias, classifier.weight"),
    ("cross-encoder", "no layer", without(".layer.1."), "lacks bert.encoder.layer.1."),
    ("cross-encoder", "no pooler", without("pooler.dense.bias"), "lacks bert.pooler.dense.bias"),
    ("cross-encoder", "no position table", without("position_embeddings"), "position_embeddings.weight"),
    ("cross-encoder", "no tensor", empty_header, "lacks bert."),
    ("cross-encoder", "foreign prefix", tensors(lambda t: {f"x.{n}": v for n, v in t.items()}), "lacks bert."),
    ("cross-encoder", "shape", shape("intermediate.dense.weight"), "another shape of bert.encoder.layer.0.inter"),
    ("cross-encoder", "one too many", tensors(extra_layer), "no place for: bert."),
    ("cross-encoder", "fewer layers", configured(num_hidden_layers=1), "no place for: bert.encoder.layer.1."),
    ("cross-encoder", "more layers", configured(num_hidden_layers=3), "lacks bert.encoder.layer.2."),
    ("cross-encoder", "other width", configured(hidden_size=64), "another shape of"),
    ("cross-encoder", "fewer positions", configured(max_position_embeddings=100), "position_embeddings"),
    ("cross-encoder", "other words", configured(vocab_size=100), "vocab_size in config.json is 100"),
    ("cross-encoder", "three outputs", configured(num_labels=3, id2label={0: "a", 1: "b", 2: "c"}), "has 3 outputs"),
    ("cross-encoder", "another activation", configured(False, hidden_act="relu"), "'hidden_act' is \"relu\""),
    ("cross-encoder", "another epsilon", configured(False, layer_norm_eps=0.5), "'layer_norm_eps' is 0.5"),
    ("cross-encoder", "NaN", filled("classifier.weight", float("nan")), "'classifier.weight' in"),
    ("cross-encoder", "infinite", filled("layer.1.output.dense.bias", float("-inf")), "layer.1.output.dense.bias"),
    ("cross-encoder", "NaN of a word", filled("word_embeddings", float("nan")), "word_embeddings.weight"),
    ("cross-encoder", "integers", integers("classifier.weight"), "'classifier.weight' in .* holds whole numbers"),
    ("cross-encoder", "huge header", huge_header, "is not a whole safetensors file"),
    ("cross-encoder", "no heads", configured(num_attention_heads=0), "cannot load"),
    ("cross-encoder", "unknown type", configured(model_type="unheard"), "does not know"),
    ("cross-encoder", "a width in words", configured(hidden_size="wide"), "cannot read"),
    ("causal", "no layer", without(".layers.1."), "lacks model.layers.1."),
    ("causal", "no k of one layer", without("layers.1.self_attn.k_proj"), "lacks model.layers.1.self_attn.k_proj.wei"),
    ("causal", "no embeddings", without("embed_tokens"), "embed_tokens.weight"),
    ("causal", "no last norm", without("model.norm"), "lacks model.norm.weight"),
    ("causal", "untied", configured(tie_word_embeddings=False), "lacks lm_head.weight"),
    ("causal", "another head", tensors(other_head), "lm_head.weight .*tie_word_embeddings"),
    ("causal", "more layers", configured(num_hidden_layers=3), "lacks model.layers.2."),
    ("causal", "fewer layers", configured(num_hidden_layers=1), "no place for: model.layers.1."),
    (
        "causal",
        "other key heads",
        configured(num_key_value_heads=4),
        "another shape of model.layers.0.self_attn.k_proj",
    ),
    ("causal", "other rotary base", configured(False, rope_parameters={"rope_type": "default"}), "'rope_parameters'"),
    ("causal", "another end", configured(False, eos_token_id=5), "'eos_token_id' is 5"),
    ("causal", "an end that is no token", configured(eos_token_id="</s>"), "eos_token_id that is no token"),
    ("causal", "NaN", filled("layers.0.mlp.down_proj", float("nan")), "down_proj.weight"),
    ("causal", "shard missing", sharded(lacks_a_shard), "names model-00002-of-00002.safetensors, which"),
    ("causal", "shard outside", sharded(outside), "names '../../../etc/passwd', which is no safetensors file"),
    ("causal", "wrong shard", sharded(in_the_wrong_shard), "holds the tensor .*, which it lacks"),
    ("causal", "unknown tensor", sharded(unknown_tensor), "'model.layers.7.weight', which it lacks"),
    ("causal", "two models", two_models, "remove one of them"),
    (
        "causal",
        "other name",
        other_name,
        "has neither model.saf",
    ),
    ("causal", "adapter beside it", an_adapter_too, "holds a model and an adapter"),
]


@pytest.mark.parametrize(("kind", "what", "damage", "said"), DAMAGES, ids=[f"{d[0]}-{d[1]}" for d in DAMAGES])
def test_what_is_not_whole_is_refused_with_its_name(
    whole: dict[str, Path], tmp_path: Path, kind: str, what: str, damage: Damage, said: str
) -> None:
    folder = Path(shutil.copytree(whole[kind], tmp_path / "m"))
    damage(folder)
    with pytest.raises(StartupError, match=said) as refusal:
        start(folder)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).endswith(".")


HARMLESS: list[tuple[str, Damage]] = [
    ("cross-encoder", tensors(lambda t: t | {"bert.embeddings.position_ids": torch.arange(512)[None]})),
    ("cross-encoder", tensors(lambda t: t | {"cls.predictions.bias": torch.zeros(3)})),
    ("cross-encoder", configured(transformers_version="3", _name_or_path="x", hidden_dropout_prob=0.4)),
    ("cross-encoder", sharded()),
    ("causal", tensors(lambda t: t | {"lm_head.weight": t["model.embed_tokens.weight"].clone()})),
    ("causal", tensors(lambda t: t | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)})),
    ("causal", sharded()),
]


@pytest.mark.parametrize(("kind", "change"), HARMLESS)
def test_what_changes_no_score_is_served(whole: dict[str, Path], tmp_path: Path, kind: str, change: Damage) -> None:
    folder = Path(shutil.copytree(whole[kind], tmp_path / "m"))
    change(folder)
    assert start(folder) == pytest.approx(start(whole[kind]), abs=CLOSE)


@pytest.mark.parametrize("kind", ["causal", "cross-encoder"])
def test_a_model_of_zeros_is_found_out_by_the_warm_up(whole: dict[str, Path], tmp_path: Path, kind: str) -> None:
    folder = Path(shutil.copytree(whole[kind], tmp_path / "m"))
    tensors(lambda found: {name: torch.zeros_like(tensor) for name, tensor in found.items()})(folder)
    with pytest.raises(EngineFailed, match=r"the same score|no finite number"):
        start(folder)


@pytest.mark.parametrize(("kind", "what", "damage", "said"), [d for d in DAMAGES if "lacks" in d[3] or "place" in d[3]])
def test_tensors_are_compared_without_reading_one(
    whole: dict[str, Path], tmp_path: Path, kind: str, what: str, damage: Damage, said: str
) -> None:
    """As before vLLM starts."""
    folder = Path(shutil.copytree(whole[kind], tmp_path / "m"))
    auto = AutoModelForCausalLM if kind == "causal" else AutoModelForSequenceClassification
    load_whole(auto, folder, "", dtype="float32", device_map="meta")
    damage(folder)
    if said.endswith("which it lacks"):
        return  # the index's own fault
    with pytest.raises(ModelStoreError, match=said):
        load_whole(auto, folder, "", dtype="float32", device_map="meta")


def gone(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def shorter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_list(path: Path) -> None:
    path.write_text("[1, 2]")


def an_empty_object(path: Path) -> None:
    path.write_text("{}")


def bytes_of_anything(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 8)


def nested(path: Path) -> None:
    path.write_text('{"a":' * 50_000)


def a_dead_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


SPOILS = [gone, empty, cut, shorter, a_folder, a_list, an_empty_object, bytes_of_anything, nested, a_dead_link]
FILES = {
    "causal": [WEIGHTS, "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"],
    "cross-encoder": [WEIGHTS, "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"],
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("spoil", SPOILS)
def test_a_file_that_is_spoilt_is_a_sentence_or_changes_no_score(
    whole: dict[str, Path], tmp_path: Path, kind: str, spoil: Callable[[Path], None]
) -> None:
    expected = start(whole[kind])
    for number, file in enumerate((*FILES[kind], "reranker.json")):
        folder = Path(shutil.copytree(whole[kind], tmp_path / str(number)))
        spoil(folder / file)
        refusal = refused(folder, expected)
        if refusal is None:
            # Without its manifest a cross-encoder is one like any other: the same outputs, of which nothing is claimed.
            plain = kind == "cross-encoder" and file == "reranker.json" and not (folder / file).is_file()
            unread = file in ("tokenizer_config.json", "special_tokens_map.json")
            assert plain or unread, f"{file} was not needed"
        else:
            assert refusal.endswith("."), refusal
            assert "\n" not in refusal
            assert file.removeprefix("model").removesuffix(".json") in refusal, refusal


def refused(folder: Path, expected: list[float]) -> str | None:
    """Why it is not served; None where it is, with the scores expected."""
    try:
        found = start(folder)
    except (StartupError, EngineFailed) as error:
        return str(error)
    assert found == pytest.approx(expected, abs=CLOSE)
    return None


@pytest.mark.parametrize("spoil", SPOILS)
def test_an_adapter_that_is_spoilt_is_a_sentence(
    tiny: Checkpoint, tiny_gguf: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    save_adapter(tiny.folder, tmp_path / "limrank-mini")
    for file in ("adapter_config.json", "adapter_model.safetensors", "reranker.json"):
        weights = tmp_path / file / "weights"
        folder = Path(shutil.copytree(tmp_path / "limrank-mini", weights / "limrank-mini"))
        spoil(folder / file)
        with pytest.raises(ModelStoreError) as refusal:
            resolve("limrank-mini", gguf=tiny_gguf, cache_dir=tmp_path / "cache", weights=weights)
        assert str(refusal.value).endswith("."), refusal.value
        assert "\n" not in str(refusal.value), refusal.value


def test_an_adapter_with_numbers_that_are_none_is_refused(tiny: Checkpoint, tiny_gguf: Path, tmp_path: Path) -> None:
    save_adapter(tiny.folder, tmp_path / "weights" / "limrank-mini")
    filled("layers.1.mlp.down_proj.lora_A", float("nan"), "adapter_model.safetensors")(
        tmp_path / "weights" / "limrank-mini"
    )
    with pytest.raises(ModelStoreError, match=r"layers\.1\.mlp\.down_proj\.lora_A\.weight.* holds NaN"):
        resolve("limrank-mini", gguf=tiny_gguf, cache_dir=tmp_path / "cache", weights=tmp_path / "weights")


@pytest.mark.parametrize("name", ["~nosuchuser/x", "x" * 5000, "a/" + "b" * 5000, "a\0b", "~", "/dev/null", "é/ü", " "])
def test_a_name_that_is_no_model_is_a_sentence(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(ModelStoreError) as refusal:
        resolve(name, cache_dir=tmp_path)
    assert len(str(refusal.value)) < 500
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("kind", "damage", "said"),
    [
        ("cross-encoder", without("classifier"), "lacks classifier.bias, classifier.weight"),
        ("causal", filled("model.norm", float("nan")), "'model.norm.weight'"),
    ],
)
def test_the_command_says_it_and_exits_with_2(
    whole: dict[str, Path], tmp_path: Path, kind: str, damage: Damage, said: str
) -> None:
    folder = Path(shutil.copytree(whole[kind], tmp_path / "m"))
    damage(folder)
    done = run_warm("service.main", "--model", str(folder), "--port", "0")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("limrank-serve: ")
    assert said in done.stderr.splitlines()[-1]


def test_a_manifest_of_version_1_is_served_as_it_is_with_a_warning(
    whole: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(whole["cross-encoder"], tmp_path / "m"))
    resolve(str(folder))
    assert not caplog.records
    old = json.loads((folder / "reranker.json").read_text())
    assert old["version"] == 2
    restate(folder)
    manifest = resolve(str(folder)).manifest
    replace(manifest, config=None).write(folder)
    found = resolve(str(folder)).manifest
    assert (found.version, found.to_json()["version"]) == (1, 1)
    assert found.fingerprint != manifest.fingerprint
    assert [record.message for record in caplog.records] == ["manifest_is_old"]
    configured(False, hidden_act="relu")(folder)
    assert resolve(str(folder)).manifest == found


def test_a_loading_model_is_counted_by_its_tensors() -> None:
    """transformers' own loop over the tensors of a model, in place of its bar."""
    before = transformers_logging.set_tqdm_hook(None)
    with _shown_loading() as shown:
        assert list(transformers_logging.tqdm({"a": 1, "b": 2}.items(), desc="Loading weights")) == [("a", 1), ("b", 2)]
        assert (shown.done, shown.total) == (2, 2)
    assert transformers_logging.set_tqdm_hook(before) is None
