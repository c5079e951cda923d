"""Setwise and listwise: exported rows train a model, which is merged, measured, and taken for nothing else."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from contract.files import write_json_lines
from contract.listed.model import read_list_model
from contract.listed.rows import ListKind, ListRow, list_format, read_list_rows
from evaluation.benchmarks.task import Query
from evaluation.cli import main as evaluate
from evaluation.scorers.listed import ListReranker
from service.errors import ModelStoreError
from service.models.store import resolve
from synth.export.formats import Shape, listwise_of_group, setwise_rows
from tests.evaluation.small_data import beir_folder
from tests.trainer.examples import groups
from tests.trainer.running import sft_flags, train
from trainer.cli import run
from trainer.sft.listed import list_sequences, load_prompt


def write_rows(path: Path, kind: ListKind, count: int = 48) -> Path:
    export = setwise_rows if kind is ListKind.SETWISE else listwise_of_group
    rows = (row for group in groups(count) for row in export(group, Shape(negatives=3, window=4)))
    write_json_lines(path, {"format": list_format(kind), "version": 1}, rows)
    return path


@pytest.mark.parametrize("kind", ListKind)
def test_rows_train_a_model_that_is_measured_and_not_served(
    kind: ListKind, tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, folder, out = write_rows(tmp_path / "rows.jsonl", kind), tmp_path / "run", tmp_path / "merged"
    train([*sft_flags(tiny_llama, data, folder, epochs=4, max_tokens=200, dropout=0.0), "--format", kind])
    said = capsys.readouterr().out
    assert "limrank eval run BENCHMARK --out RESULTS --list-model" in said
    losses = [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert sum(losses[-4:]) < sum(losses[:4])
    stated = read_list_model(folder / "adapter")
    assert (stated.kind, stated.window, stated.licences) == (kind, 4, ("unknown", "CC0-1.0"))
    train(["merge", "--base", str(tiny_llama), "--adapter", str(folder / "adapter"), "--out", str(out)])
    assert read_list_model(out) == stated
    with pytest.raises(ModelStoreError):
        resolve(str(out))
    results = tmp_path / "results"
    beir = beir_folder(tmp_path / "beir")
    assert evaluate(["run", "beir", "--data", str(beir), "--list-model", str(out), "--out", str(results)]) == 0
    (found,) = results.rglob("result.json")
    result = json.loads(found.read_text())
    assert result["identity"]["kind"] == kind
    assert 0 < result["measures"]["nDCG@10"]["mean"] <= 1
    words = ["calibrate", "--benchmark", "beir", "--split", "test", "--data", str(beir), "--out", str(results)]
    assert evaluate([*words, "--list-model", str(out)]) == 2
    assert "only orders the candidates of a query" in capsys.readouterr().err


def test_a_window_slides_from_the_end_and_loses_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.jsonl", ListKind.SETWISE)
    flags = sft_flags(tiny_llama, data, tmp_path / "run", max_steps=1, max_tokens=200)
    train([*flags, "--format", "setwise"])
    adapter, out = str(tmp_path / "run" / "adapter"), str(tmp_path / "m")
    train(["merge", "--base", str(tiny_llama), "--adapter", adapter, "--out", out])
    scorer = ListReranker(out)
    for count in (0, 1, 3, 4, 5, 11):
        passages = [(f"d{place}", f"Salt melts after {place} days.") for place in range(count)]
        scores = [scored.score for scored in scorer.score(Query(id="q", text="when melts salt"), passages)]
        assert sorted(scores, reverse=True) == [-float(place) for place in range(count)]


def test_the_loss_is_on_what_the_grades_tell(tiny_llama: Path) -> None:
    prompt = load_prompt(tiny_llama, ListKind.LISTWISE)
    row = ListRow(
        id="a",
        query="q",
        instruction=None,
        passages=("one", "two", "three", "four"),
        grades=(0.0, 1.0, 0.5, 0.0),
        source="test",
        licence="CC0-1.0",
        domain="d",
    )
    (sequence,) = list_sequences([row], prompt, 120)
    step = len(prompt.separator) + 1
    assert sequence.ids[-1 - step :] == tuple(prompt.answer([1, 2]))
    assert [weight for weight in sequence.weights if weight] == [0.5, 0.5]
    assert sequence.weights[0] == sequence.weights[step] == 0.5
    ties = ListRow(**{name: getattr(row, name) for name in row.__slots__} | {"grades": (1.0, 1.0, 0.0, 0.0)})
    (sequence,) = list_sequences([ties], prompt, 120)
    assert [weight for weight in sequence.weights if weight] == [1.0]
    assert sequence.ids[-1] == prompt.letters[1]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], "holds setwise rows, and this training takes records: `limrank synth export --format pointwise`"),
        (["--format", "listwise"], "holds setwise rows, and this training takes listwise rows"),
        (["--format", "setwise", "--max-tokens", "40"], "and at least 8 are needed"),
        (["--format", "setwise", "--dev", "."], "--dev is for --format pointwise"),
        (["--format", "setwise", "--adapter", "."], "--adapter is for --format pointwise"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    flags: list[str], sentence: str, tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_rows(tmp_path / "rows.jsonl", ListKind.SETWISE)
    assert run([*sft_flags(tiny_llama, data, tmp_path / "run"), *flags]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_merged_model_of_lists_is_named_where_it_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beir = beir_folder(tmp_path / "beir")
    words = ["run", "beir", "--data", str(beir), "--list-model", str(tmp_path), "--out", str(tmp_path / "out")]
    assert evaluate(words) == 2
    assert f"{tmp_path / 'list.json'} cannot be read" in capsys.readouterr().err


def test_reading_streams(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", ListKind.LISTWISE, 3)
    path.write_bytes(path.read_bytes() + b"broken\n")
    assert len(list(islice(read_list_rows(path, ListKind.LISTWISE), 3))) == 3
