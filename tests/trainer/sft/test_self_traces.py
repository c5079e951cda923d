"""A model's own traces as training data: written by the real service with a small model that writes traces."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from contract.about import beside, stated_cost
from contract.records import read_records
from evaluation.benchmarks.task import Query
from evaluation.errors import BadData as EvaluationData
from evaluation.errors import BadSettings as EvaluationSettings
from evaluation.errors import ScorerFailed
from evaluation.scorers.scorer import Scored
from tests.evaluation.kept_services import KeptServices
from tests.trainer.examples import records
from tests.trainer.running import start
from tests.waiting import PATIENCE
from tests.writing_model import BEGINNING
from trainer.cli import run
from trainer.errors import BadData, BadSettings, ServiceFailed
from trainer.settings import OwnTraces
from trainer.sft import self_traces
from trainer.sft.self_traces import ask_traces

pytestmark = pytest.mark.usefixtures("warm_services")


@pytest.fixture(scope="module")
def services() -> Iterator[KeptServices]:
    kept = KeptServices()
    yield kept
    kept.close()


@pytest.fixture
def one_service(services: KeptServices, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is run in this process asks a service that runs already, where there is one."""
    monkeypatch.setattr(self_traces, "local_service", services.serve)


@pytest.fixture
def words(writing_model: Path) -> list[str]:
    return ["own-traces", "--model", str(writing_model), "--model-licence", "Apache-2.0"]


@pytest.mark.usefixtures("one_service")
def test_the_chosen_records_get_the_traces_the_model_writes(
    words: list[str], records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, data = tmp_path / "made" / "own.jsonl", tmp_path / "records.jsonl"
    data.write_bytes(records_file.read_bytes())
    beside(data).write_text('{"cost": 12.5}')
    words += ["--data", str(data), "--out", str(out), "--sample", "12", "--trace-tokens", "96"]
    assert run([*words, "--direct-share", "0.5", "--leave-out", "crafts"]) == 0
    before = {record.id: record for record in read_records(records_file)}
    made = list(read_records(out))
    told = [record for record in made if record.trace is not None]
    assert (
        f"{len(told)} records with a trace of the model's own, {len(made) - len(told)} without"
        in capsys.readouterr().out
    )
    assert 2 <= len(told) <= 10
    for record in made:
        licence = "CC0-1.0" if record.trace is None else "Apache-2.0 AND CC0-1.0"
        assert replace(record, trace=None) == replace(before[record.id], trace=None, licence=licence)
    assert all(record.domain == "materials" for record in made)
    for record in told:
        assert record.trace != before[record.id].trace
        assert (record.trace or "").startswith(BEGINNING), "the model's own wording"
    assert not (tmp_path / "made" / "own.jsonl.traces").exists()
    assert stated_cost(out) == 12.5, "what it was made from"


@pytest.mark.usefixtures("one_service")
def test_after_a_kill_only_what_is_missing_is_asked(
    words: list[str], records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, kept = tmp_path / "own.jsonl", tmp_path / "own.jsonl.traces" / "scores.jsonl"
    words += ["--data", str(records_file), "--out", str(out), "--sample", "5", "--concurrency", "1"]
    words += ["--trace-tokens", "16"]  # how a trace ends makes no difference to what is kept
    said, _ = (process := start(words, "-m", "tests.trainer.killed")).communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL, said
    assert not out.exists()
    header, first, *rest = kept.read_text().splitlines()
    assert len(rest) == 1, "killed with two traces of five"
    mark = "The query asks about what nobody else writes."
    made = {"traces": [mark], "statuses": ["complete"]}
    kept.write_text("\n".join([header, json.dumps(json.loads(first) | made), *rest, '{"torn": ']))
    assert run([{"16": "12"}.get(word, word) for word in words]) == 2
    assert "holds scores made otherwise (max_reasoning_tokens: 16 there, 12 now)" in capsys.readouterr().err
    assert run(words) == 0
    assert "2/5" in capsys.readouterr().err, "the bar begins at what was kept"
    assert mark in {record.trace for record in read_records(out)}
    assert not kept.parent.exists()


def test_a_model_that_is_not_there_is_one_sentence(
    records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "own.jsonl"
    words = ["own-traces", "--data", str(records_file), "--sample", "4", "--out", str(out)]
    assert run([*words, "--model", str(tmp_path / "nothing")]) == 2
    assert "limrank-serve exited with" in capsys.readouterr().err
    assert not out.exists()
    (tmp_path / "file").write_text("")
    assert run([*words[:-1], str(tmp_path / "file" / "own.jsonl"), "--model", "limrank-mini"]) == 2
    assert "cannot be written" in capsys.readouterr().err


class Silent:
    """A service that stops answering after `answers` calls."""

    name, concurrency = "silent", 1

    def __init__(self, answers: int) -> None:
        self.asked: list[str] = []
        self._answers = answers

    def identity(self) -> Mapping[str, Any]:
        return {"kind": "service"}

    def prepare(self, task: object) -> None:
        pass

    def score(self, query: Query, passages: Sequence[tuple[str, str]]) -> list[Scored]:
        self.asked.append(query.id)
        if len(self.asked) > self._answers:
            raise ScorerFailed("The service stopped answering.")
        return [Scored(1.0, f"A trace for {text}", "complete") for _, text in passages]

    def close(self) -> None:
        pass


def test_a_service_that_stops_answering_keeps_what_it_answered(tmp_path: Path) -> None:
    """A file may hold a record twice: each is asked for."""
    asked = [*records(3), next(records(1))]
    stopped, restarted = Silent(2), Silent(9)
    with pytest.raises(ScorerFailed):
        ask_traces(asked, stopped, tmp_path / "scores.jsonl")
    found = ask_traces(asked, restarted, tmp_path / "scores.jsonl")
    assert restarted.asked == ["2", "3"]
    assert [answer.trace for answer in found] == [f"A trace for {record.passage}" for record in asked]


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(ScorerFailed, ServiceFailed), (EvaluationSettings, BadSettings), (EvaluationData, BadData)],
)
def test_an_error_of_evaluation_keeps_its_kind(
    raised: type[Exception],
    expected: type[Exception],
    records_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(*_: object, **__: object) -> NoReturn:
        raise raised("A sentence.")

    monkeypatch.setattr(self_traces, "local_service", failing)
    settings = OwnTraces(data=records_file, out=tmp_path / "own.jsonl", model="limrank-mini")
    with pytest.raises(expected, match="A sentence"):
        self_traces.own_traces(settings)
