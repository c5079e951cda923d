"""`limrank-train cross-encoder` from end to end on a small base: it learns, goes on, and what it leaves scores alike
everywhere."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from sentence_transformers import CrossEncoder
from transformers import AutoConfig, BertForSequenceClassification, BertForTokenClassification

from contract.checkpoint.manifest import read_manifest
from contract.records import read_groups, write_groups
from contract.scored_groups import write_scored_groups
from service.engines.cross_encoder.engine import CrossEncoderEngine
from service.models.checkpoint import open_checkpoint
from tests.seam import Job, score
from tests.tokenizers import minilm_folder
from tests.trainer.examples import scored_groups
from tests.trainer.running import cross_encoder_flags, train, weights
from trainer.cli import run
from trainer.cross_encoder.checkpoint import EMBEDDINGS, write_small
from trainer.cross_encoder.groups import GroupChoice, Row, load_groups
from trainer.cross_encoder.model import PairScorer, encode_row, load_encoder, load_pair_encoder
from trainer.errors import BadData, BadRunFolder


@pytest.fixture(scope="module")
def finished(tiny_bert: Path, groups_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cross-encoder") / "run"
    train(cross_encoder_flags(tiny_bert, groups_file, folder, epochs=8))
    return folder


def test_the_loss_falls(finished: Path) -> None:
    losses = [json.loads(line)["loss"] for line in (finished / "log.jsonl").read_text().splitlines()]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_positives_come_first_and_the_temperature_is_fitted(finished: Path, groups_file: Path) -> None:
    folder = finished / "model"
    manifest = read_manifest(folder)
    assert manifest is not None
    assert (manifest.kind, manifest.format, manifest.verdict_tokens) == ("cross-encoder", None, None)
    assert manifest.temperature != 1.0
    assert "limrank-train cross-encoder: lce" in manifest.recipe
    scorer = PairScorer(load_encoder(folder, seed=0, train_embeddings=True), load_pair_encoder(folder, 64))
    scores = [scorer.score(group.query, [group.positive, *group.negatives]) for group in read_groups(groups_file)]
    first = sum(row[0] == max(row) for row in scores)
    assert first > len(scores) / 2, "one in five would be chance"
    odds = torch.tensor(scores) / manifest.temperature
    chance = torch.sigmoid(odds).mean().item()
    assert chance == pytest.approx(1 / 5, abs=0.08), "the bias puts the mean chance where the share of positives is"


async def test_trainer_service_and_sentence_transformers_score_alike(finished: Path, groups_file: Path) -> None:
    folder = finished / "model"
    group = next(iter(read_groups(groups_file)))
    passages = (group.positive, *group.negatives)
    checkpoint = open_checkpoint(folder, "trained")
    temperature = checkpoint.manifest.temperature
    own = PairScorer(load_encoder(folder, seed=0, train_embeddings=True), load_pair_encoder(folder, 128))
    expected = [score / temperature for score in own.score(group.query, passages)]
    pairs = [(group.query, passage) for passage in passages]
    library = CrossEncoder(str(folder), local_files_only=True)
    assert temperature != 1.0
    assert library.predict(pairs, activation_fn=torch.nn.Identity()).tolist() == pytest.approx(expected, abs=1e-4)
    assert library.predict(pairs).tolist() == pytest.approx(torch.tensor(expected).sigmoid().tolist(), abs=1e-5)
    engine = CrossEncoderEngine.load(checkpoint, dtype="float32")
    job = Job(call="one", query=group.query, passages=passages)
    found = await score(engine, job, temperatures=checkpoint.manifest.temperatures)
    await engine.close()
    assert [verdict.log_odds for verdict in found] == pytest.approx(expected, abs=1e-4)


def test_a_run_in_two_legs_gives_the_same_weights(
    tiny_bert: Path, groups_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, legs = (cross_encoder_flags(tiny_bert, groups_file, tmp_path / name, epochs=2) for name in ("one", "two"))
    train(whole)
    train([*legs, "--leg-minutes", "0.00001"])
    assert "(time) at step 1 of 12" in capsys.readouterr().out
    assert not (tmp_path / "two" / "model").exists()
    train([*legs, "--leg", "2"])
    expected, found = weights(tmp_path / "one" / "model"), weights(tmp_path / "two" / "model")
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("teacher_loss", ["kl", "margin-mse"])
def test_scored_groups_of_unequal_size_are_learned(tiny_bert: Path, tmp_path: Path, teacher_loss: str) -> None:
    path = tmp_path / "groups.jsonl"
    write_scored_groups(path, scored_groups(48))
    flags = cross_encoder_flags(tiny_bert, path, tmp_path / "run", epochs=8, teacher_temperature=0.5)
    train([*flags, "--teacher-loss", teacher_loss])
    losses = [json.loads(line)["loss"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    manifest = read_manifest(tmp_path / "run" / "model")
    assert manifest is not None
    assert f"teacher {teacher_loss} at temperature 0.5" in manifest.recipe
    scorer = PairScorer(
        load_encoder(tmp_path / "run" / "model", seed=0, train_embeddings=True),
        load_pair_encoder(tmp_path / "run" / "model", 64),
    )
    last = [scorer.score(group.query, group.passages) for group in scored_groups(48)]
    assert sum(row[-1] == max(row) for row in last) > len(last) / 2


def test_averaged_weights_are_the_mean_of_the_steps_also_in_two_legs(
    tiny_bert: Path, groups_file: Path, tmp_path: Path
) -> None:
    """With two steps the mean is worked out by hand from runs of one and two steps at the same rate."""
    steps = {}
    for count in (1, 2):
        folder = tmp_path / f"steps-{count}"
        flags = cross_encoder_flags(tiny_bert, groups_file, folder, max_steps=2, calibration=0, schedule="constant")
        train([*flags, "--checkpoint-steps", "1"])
        steps[count] = weights(folder / "checkpoints" / f"checkpoint-{count}")
    flags = cross_encoder_flags(
        tiny_bert, groups_file, tmp_path / "mean", max_steps=2, calibration=0, schedule="constant", average=0.9
    )
    train([*flags, "--leg-minutes", "0.00001"])
    train([*flags, "--leg", "2"])
    found = weights(tmp_path / "mean" / "model")
    base = weights(tiny_bert)
    for name, second in steps[2].items():
        first = steps[1][name]
        before = base.get(name.removeprefix("bert."))
        if before is None:
            continue
        mean = torch.lerp(torch.lerp(before, first, 1 - 2 / 11), second, 1 - 3 / 12)
        assert torch.allclose(found[name], mean, atol=1e-6), name


def test_embeddings_stay_those_of_the_base_unless_asked(tiny_bert: Path, groups_file: Path, tmp_path: Path) -> None:
    train(cross_encoder_flags(tiny_bert, groups_file, tmp_path / "run", train_embeddings=False, max_steps=2))
    base, tuned = weights(tiny_bert), weights(tmp_path / "run" / "model")
    kept = [name for name in base if name.startswith(EMBEDDINGS)]
    assert kept
    assert all(torch.equal(base[name], tuned[f"bert.{name}"]) for name in kept)
    assert not torch.equal(
        base["encoder.layer.0.output.dense.weight"], tuned["bert.encoder.layer.0.output.dense.weight"]
    )
    (tmp_path / "small").mkdir()
    write_small(tmp_path / "small", tmp_path / "run" / "model")
    small = weights(tmp_path / "small")
    assert small.keys() == {name for name in tuned if ".embeddings." not in name}
    assert {tensor.dtype for tensor in small.values()} == {torch.float16}


async def test_a_bi_encoder_stays_in_the_network_as_it_was(
    tiny_bert: Path, groups_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its layers are frozen, a base that has one keeps it, and the service scores alike."""
    beside = {"train_embeddings": False, "bi_encoder": tiny_bert, "similarity_weight": 5.0}
    train(cross_encoder_flags(tiny_bert, groups_file, tmp_path / "run", max_steps=2, **beside))
    folder = tmp_path / "run" / "model"
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.recipe.endswith("a bi-encoder's cosines with weight 5.0")
    train(cross_encoder_flags(folder, groups_file, tmp_path / "again", max_steps=2, train_embeddings=False))
    base, found = weights(tiny_bert), weights(tmp_path / "again" / "model")
    layers = [name for name in base if name.startswith("encoder.")]
    assert all(torch.equal(base[name], found[name.replace("encoder.", "similarity.", 1)]) for name in layers)
    assert not any(torch.equal(base[name], found[f"bert.{name}"]) for name in layers if "dense.weight" in name)
    with pytest.raises(BadRunFolder, match="so it cannot be left out"):
        write_small(tmp_path, folder)  # the service would put MiniLM in its place

    group = next(iter(read_groups(groups_file)))
    passages = (group.positive, *group.negatives)
    own = PairScorer(load_encoder(folder, seed=0, train_embeddings=False), load_pair_encoder(folder, 128))
    expected = [score / manifest.temperature for score in own.score(group.query, passages)]
    loaded = load_encoder(folder, seed=0, train_embeddings=False)
    assert not any(weight.requires_grad for name, weight in loaded.named_parameters() if "similarity." in name)
    engine = CrossEncoderEngine.load(open_checkpoint(folder, "trained"), dtype="float32")
    verdicts = await score(
        engine,
        Job(call="one", query=group.query, passages=passages),
        temperatures=open_checkpoint(folder, "trained").manifest.temperatures,
    )
    await engine.close()
    assert [verdict.log_odds for verdict in verdicts] == pytest.approx(expected, abs=1e-4)

    hollow = shutil.copytree(tiny_bert, tmp_path / "hollow")
    kept = {name: tensor for name, tensor in weights(tiny_bert).items() if name.startswith(EMBEDDINGS)}
    save_file(kept, hollow / "model.safetensors", metadata={"format": "pt"})
    by_first = shutil.copytree(tiny_bert, tmp_path / "first")
    (by_first / "1_Pooling").mkdir()
    (by_first / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    capsys.readouterr()
    for base_folder, change, sentence in (
        (folder, beside, "--bi-encoder needs a BERT that has none"),
        (folder, {"train_embeddings": True}, "needs the word embeddings as they are"),
        (tiny_bert, beside | {"bi_encoder": tmp_path}, "cannot be loaded as a BERT"),
        (tiny_bert, beside | {"bi_encoder": minilm_folder()}, "has another num_hidden_layers than the base"),
        (tiny_bert, beside | {"bi_encoder": hollow}, "is no BERT: it lacks encoder.layer.0."),
        (tiny_bert, beside | {"bi_encoder": by_first}, "does not take the mean of its states"),
        (tiny_bert, {"base_scale": 0.5}, "--base-scale says how much --bi-encoder counts, which is not given"),
    ):
        assert run(cross_encoder_flags(base_folder, groups_file, tmp_path / "bad", **change)) == 2
        assert sentence in capsys.readouterr().err


def test_a_dry_run_and_bad_input(
    tiny_bert: Path, groups_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = cross_encoder_flags(tiny_bert, groups_file, tmp_path / "run", epochs=2)
    train([*flags, "--dry-run", "--measure-seconds", "0.1"])
    assert "steps             12" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()
    with pytest.raises(BadData, match="leaves less than a quarter of --max-tokens 16"):
        encode_row(load_pair_encoder(tiny_bert, 16), Row("long " * 20, None, ("passage",)))
    for change, sentence in (
        ({"calibration": 48}, "--calibration 48 leaves no group to train"),
        ({"max_tokens": 129}, "has positions for 128 tokens, and --max-tokens 129 is more"),
    ):
        assert run(cross_encoder_flags(tiny_bert, groups_file, tmp_path / "bad", **change)) == 2
        assert sentence in capsys.readouterr().err
    # A group that is held out is scored at the end only; what is wrong with it is known before the first step.
    held = {group.id for group in load_groups(groups_file, GroupChoice(negatives=3, seed=3))[:12]}
    broken = tmp_path / "groups.jsonl"
    write_groups(
        broken,
        (
            replace(one, query=f"{one.query} {'long ' * 70}") if one.id in held else one
            for one in read_groups(groups_file)
        ),
    )
    assert run(cross_encoder_flags(tiny_bert, broken, tmp_path / "bad")) == 2
    assert "leaves less than a quarter of --max-tokens 64" in capsys.readouterr().err
    assert not (tmp_path / "bad").exists()
    (tmp_path / "empty").mkdir()
    assert run(cross_encoder_flags(tmp_path / "empty", groups_file, tmp_path / "bad")) == 2
    assert "empty has no config.json, so it is not a model folder; correct --base." in capsys.readouterr().err
    (tmp_path / "empty" / "config.json").write_text("{}")
    assert run(cross_encoder_flags(tmp_path / "empty", groups_file, tmp_path / "bad")) == 2
    assert "tokenizer.json cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize("kind", [BertForSequenceClassification, BertForTokenClassification])
def test_a_base_with_several_outputs_is_refused_in_our_own_words(
    tiny_bert: Path, groups_file: Path, tmp_path: Path, kind: Any, labels: int, capsys: pytest.CaptureFixture[str]
) -> None:
    base = Path(shutil.copytree(tiny_bert, tmp_path / "base"))
    kind(AutoConfig.from_pretrained(base, num_labels=labels)).save_pretrained(base)
    assert run(cross_encoder_flags(base, groups_file, tmp_path / "run")) == 2
    said = capsys.readouterr().err
    assert f"base is a classifier of {labels} outputs ({kind.__name__}), and a cross-encoder has one; name" in said
    assert not (tmp_path / "run").exists()
