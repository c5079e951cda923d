"""What `limrank-eval cascade --write` fits and writes, on models that are functions of a document's number."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from contract.adaptive.reaching import read_reaching
from contract.checkpoint.manifest import Manifest, read_adapter_manifest
from evaluation.adaptive.reaching import LEAST_PAIRS, fit_reaching
from evaluation.benchmarks.task import Query
from evaluation.cli import main
from evaluation.commands import cascade
from evaluation.errors import BadData
from evaluation.scorers.http import RankedDocuments
from evaluation.scorers.scorer import Scored
from tests.evaluation import small_data

FIRST = "f" * 64
Pairs = dict[str, dict[str, Scored]]


def scored(pairs: int, noise: float) -> tuple[Pairs, Pairs]:
    """The second model's score is three times the first's, plus one, plus noise."""
    draw = random.Random(3)
    first = {"q": {f"d{n}": Scored(draw.uniform(-2, 2)) for n in range(pairs)}}
    second = {"q": {name: Scored(3 * each.score + 1 + draw.gauss(0, noise)) for name, each in first["q"].items()}}
    return first, second


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_the_fit_finds_what_the_scores_were_made_with(noise: float) -> None:
    fitted = fit_reaching(*scored(4000, noise))
    for score in (-1.5, 0.0, 1.5):
        assert fitted.mean(score) == pytest.approx(3 * score + 1, abs=0.5)
        assert fitted.spread(score) == pytest.approx(noise, rel=0.25, abs=0.1)


def test_the_noisier_the_more_are_kept() -> None:
    odds = [2 - place / 25 for place in range(100)]
    sure, unsure = (fit_reaching(*scored(4000, noise)).count(odds, 10) for noise in (0.5, 2.0))
    assert 10 < sure < unsure < 100


def test_too_few_pairs_are_a_sentence() -> None:
    with pytest.raises(BadData, match=f"Only 39 pairs to fit on; at least {LEAST_PAIRS} are needed"):
        fit_reaching(*scored(39, 1.0))


@dataclasses.dataclass
class Model:
    """In place of a served model: scores by the length of a text."""

    sign: float
    fingerprint: str
    concurrency: int = 1
    name: str = "model (direct)"

    def identity(self) -> Mapping[str, Any]:
        return {"model": f"model {self.sign:g}", "fingerprint": self.fingerprint}

    def prepare(self, task: object) -> None: ...

    def score(self, query: Query, passages: Sequence[tuple[str, str]]) -> list[Scored]:
        return [Scored(self.sign * len(text) / 10) for _, text in passages]

    def rank(self, query: Query, texts: Sequence[str]) -> RankedDocuments:
        order = sorted(range(len(texts)), key=lambda at: -self.sign * len(texts[at]))
        return RankedDocuments(order, 10, 1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "served"
    place.mkdir()
    Manifest("cross-encoder", None, None, "0" * 64, "base").write(place)
    return place


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    own = read_adapter_manifest(folder).fingerprint

    @contextlib.contextmanager
    def of(settings: cascade.CascadeSettings, way: str, mode: str) -> Iterator[Model]:
        yield Model(1.0, FIRST, name="first") if way == "first" else Model(2.0, own, name=way)

    monkeypatch.setattr(cascade, "_served", of)


@pytest.mark.usefixtures("served")
def test_the_command_fits_on_one_split_writes_and_measures_on_another(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = small_data.medquad_folder(tmp_path / "medquad"), tmp_path / "out"
    words = [f"--first=small --model={folder} --data={data} --out={out} --depth=6"]
    words = ["cascade", *words[0].split(), f"--write={folder}"]
    before = read_adapter_manifest(folder)
    assert main(words) == 0
    after = read_adapter_manifest(folder)
    assert dataclasses.replace(after, first_stage=None) == before
    found = read_reaching(after.first_stage, before.fingerprint, FIRST)
    assert found.reaching is not None
    assert (found.reason, (after.first_stage or {})["first"]["name"]) == ("", "model 1")
    [path] = out.rglob("cascade.json")
    assert json.loads(path.read_text())["fitted_on"] == "medquad/dev"
    said = capsys.readouterr().out
    assert "as many documents kept as can reach the top by what was fitted on medquad/dev" in said
    assert main([*words, "--fit-split=test"]) == 2
    assert "name two splits" in capsys.readouterr().err
    other = tmp_path / "other"
    other.mkdir()
    dataclasses.replace(before, temperature=2.0).write(other)
    assert main([*words[:-1], f"--write={other}"]) == 2
    assert "name the folder of the measured model" in capsys.readouterr().err
    assert read_adapter_manifest(other).first_stage is None
