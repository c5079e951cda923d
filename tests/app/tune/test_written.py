"""With a language model: its queries and grades become groups and the test set; nothing is paid unasked or twice."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.scored_groups import read_scored_groups
from synth.methods.corpus.method import ScoredQuery
from synth.pipeline import scored_queries
from tests.app.tune.running import tune
from tests.app.tune.tty import Screen
from tests.synth.endpoint import Fault, ScriptedEndpoint
from trainer.run.plan import measure

PRICED = {"llm_price_prompt": 10.0, "llm_price_completion": 20.0}


@pytest.fixture
def asked(light_bi_encoder: Path) -> dict[str, Any]:
    given = {"llm_model": "writer", "llm_queries": 24, "llm_candidates": 3, "llm_key_variable": ""}
    return {**given, "bi_encoder": light_bi_encoder}


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint() as scripted:
        yield scripted


def told(out: Path, step: str) -> Any:
    return json.loads((out / "work" / f"{step}.manifest.json").read_text(encoding="utf-8"))["told"]


def test_written_queries_and_grades_train_and_measure_and_are_paid_once(
    documents: Path,
    tiny_model: Path,
    asked: dict[str, Any],
    small_model: Path,
    endpoint: ScriptedEndpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainer.sft.train.measure", lambda step, seconds: measure(step, 0.01))  # of the dry run
    out = tmp_path / "out"
    given = {**asked, **PRICED, "llm": endpoint.url, "budget": 100, "reasoning": True, "reasoning_base": small_model}
    given["epochs"] = 1
    assert tune(documents, out, tiny_model, **given) in (0, 3)
    said = capsys.readouterr()
    assert " calls to writer, about " in said.err
    assert set(told(out, "queries")["trained"]) == {"written"}
    assert set(told(out, "queries")["tested"]) == {"written"}
    groups = list(read_scored_groups(out / "work" / "groups.jsonl"))
    assert {score for group in groups for score in group.teacher} <= {float(grade) for grade in range(11)}
    assert any(3 < score < 8 for group in groups for score in group.teacher), "grades between the thresholds are kept"
    assert {group.licence for group in groups} == {"CC0-1.0"}
    runs = [out / "work" / "llm" / side / "run" for side in ("training", "test")]
    scored = [list(scored_queries(run)) for run in runs]
    held_out = set(json.loads((out / "work" / "choice.json").read_text())["held_out"])
    assert all(isinstance(query, ScoredQuery) for side in scored for query in side)
    assert not any(_document(name) in held_out for query in scored[0] for name in query.scores)
    assert all(_document(name) in held_out for query in scored[1] for name in query.scores)
    paid = endpoint.counts.requests
    assert max(endpoint.counts.bodies.values()) == 1
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "cost of the calls" in page
    if not told(out, "reasoning")["trained"]:
        assert "tokens" in told(out, "reasoning")["plan"]
        assert "causal model" in page
    assert tune(documents, out, tiny_model, **given, seed=8) in (0, 3)
    assert endpoint.counts.requests == paid


def _document(passage: str) -> str:
    return passage.rpartition("#")[0]


def test_without_a_terminal_nothing_is_paid_that_nobody_allowed(
    documents: Path,
    tiny_model: Path,
    asked: dict[str, Any],
    endpoint: ScriptedEndpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    given = {**asked, **PRICED, "llm": endpoint.url}
    assert tune(documents, tmp_path / "out", tiny_model, **given) == 2
    assert "say how much may be spent: --budget." in capsys.readouterr().err
    terminal = Screen()
    terminal.write("n\n")
    terminal.seek(0)
    monkeypatch.setattr("sys.stdin", terminal)
    assert tune(documents, tmp_path / "out", tiny_model, **given) == 2
    assert "Nothing was spent" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", None)  # closed, as some services are started
    assert tune(documents, tmp_path / "out", tiny_model, **given) == 2
    assert "say how much may be spent: --budget." in capsys.readouterr().err
    assert endpoint.counts.requests == 0


def test_a_spent_budget_ends_the_run_and_keeps_what_was_paid(
    documents: Path,
    tiny_model: Path,
    asked: dict[str, Any],
    endpoint: ScriptedEndpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = {**asked, **PRICED, "llm": endpoint.url}
    given |= {"budget": 0.2, "llm_concurrency": 1}
    assert tune(documents, tmp_path / "out", tiny_model, **given) == 1
    assert "Raise --budget and run again" in capsys.readouterr().err
    assert 0 < endpoint.counts.requests < 100  # of 170
    assert (tmp_path / "out" / "work" / "llm" / "training" / "run" / "journal.jsonl").exists()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault(content="The moon is a cheese."), "replies to 'corpus.queries' could be used"),
        (Fault(content='{"queries": [], "score": "high"}'), "replies to 'corpus.queries' could be used"),
        (Fault(content=""), "replies to 'corpus.queries' could be used"),
        (Fault(body="<html>It works!</html>"), ""),
        (Fault(body="[]"), ""),
        (Fault(body='{"choices": []}'), ""),
        (Fault(404, "no such page"), ""),
    ],
)
def test_an_endpoint_that_answers_nonsense(
    fault: Fault,
    told: str,
    documents: Path,
    tiny_model: Path,
    asked: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ScriptedEndpoint(script=lambda number, body: fault) as nonsense:
        assert tune(documents, tmp_path / "out", tiny_model, **asked, llm=nonsense.url) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("limrank tune: ")
    assert told in said.splitlines()[-1]


def test_a_judge_that_grades_with_nonsense(
    documents: Path, tiny_model: Path, asked: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def script(number: int, body: dict[str, Any]) -> Fault | None:
        said = "\n".join(message["content"] for message in body["messages"])
        return Fault(content='{"reasoning": "x", "score": 99}') if '"score"' in said else None

    with ScriptedEndpoint(script=script) as nonsense:
        assert tune(documents, tmp_path / "out", tiny_model, **asked, llm=nonsense.url) == 1
    assert "replies to 'corpus.judge' could be used" in capsys.readouterr().err.splitlines()[-1]


def test_an_endpoint_that_is_not_there(
    documents: Path, tiny_model: Path, asked: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(documents, tmp_path / "out", tiny_model, **asked, llm="http://127.0.0.1:9/v1") == 1
    assert "http://127.0.0.1:9/v1 cannot be reached" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"llm": "http://127.0.0.1:9/v1"}, "--llm needs --llm-model"),
        ({"budget": 5}, "name it with --llm"),
        ({"reasoning": True}, "--reasoning needs --llm"),
        (
            {"llm": "https://api.example.com/v1", "llm_model": "x"},
            "the price of https://api.example.com/v1 is not known",
        ),
        ({"llm": "http://127.0.0.1:9/v1", "llm_model": "x", "budget": 5}, "--budget needs prices"),
        (
            {"llm": "http://127.0.0.1:9/v1", "llm_model": "x", "reasoning": True, "reasoning_base": "no-such-model"},
            "no-such-model cannot be read",
        ),
    ],
)
def test_settings_that_contradict_each_other(
    given: dict[str, Any],
    sentence: str,
    documents: Path,
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert tune(documents, tmp_path / "out", tiny_model, **given) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
