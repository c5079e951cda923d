"""What a run does when replies are bad, money or disk runs out, an endpoint goes away or a signal comes."""

from __future__ import annotations

import json
import os
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from synth.errors import BadSettings, EndpointFailed
from synth.pipeline import examples, run
from synth.run.journal import JournalRow, Status, read_journal
from synth.status import status
from tests.synth.endpoint import Fault, ScriptedEndpoint
from tests.synth.runs import (
    asks_for_passage,
    endpoint_knobs,
    limrank_knobs,
    limrank_settings,
    start,
    toml_of,
)
from tests.waiting import PATIENCE

PER_SEED = 13
BLANK = '{"reasoning": "r", "passage": " "}'
HALF_A_PAIR = '{"reasoning": "r", "passage": "\\ud800"}'


def rows(folder: Path) -> list[JournalRow]:
    return list(read_journal(folder / "run" / "journal.jsonl"))


@pytest.mark.parametrize(
    ("fault", "reason", "raw"),
    [
        (Fault(content='{"reasoning": "Because", "pass'), "not_json: ", '{"reasoning": "Because", "pass'),
        (
            Fault(content='{"reasoning": "r", "passage": " "}'),
            "wrong_shape: passage: ",
            '{"reasoning": "r", "passage": " "}',
        ),
        (Fault(content='{"reasoning": "r"}'), "wrong_shape: passage: Field required", '{"reasoning": "r"}'),
        (
            Fault(content='{"reasoning": "r", "passage": "\\ud800"}'),
            "not_json: ",
            '{"reasoning": "r", "passage": "\\ud800"}',
        ),
        (Fault(content="Sure! Here you are."), "not_json: ", "Sure! Here you are."),
        (Fault(content='{"reasoning":', finish="length"), "truncated: ", '{"reasoning":'),
        (Fault(content=""), "empty", ""),
        (Fault(body='{"id": "cut'), "broken_body: ", '{"id": "cut'),
    ],
)
def test_an_unusable_reply_is_paid_kept_asked_again_and_then_given_up(
    tmp_path: Path, fault: Fault, reason: str, raw: str
) -> None:
    def script(_: int, body: dict[str, Any]) -> Fault | None:
        return fault if asks_for_passage(body) else None

    with ScriptedEndpoint(script=script) as endpoint:
        settings = limrank_settings(tmp_path, endpoint.url, seeds=1)
        assert run(settings, StringIO()) == 0
        assert endpoint.counts.requests == 1 + 2 * 2
        bad = [row for row in rows(tmp_path) if row.stage == "limrank.positive"]
        assert Counter((row.status, row.attempt) for row in bad) == {(Status.RETRY, 1): 2, (Status.REJECTED, 2): 2}
        assert all(row.reason.startswith(reason) and row.reply == raw for row in bad)
        run(settings, StringIO())
        assert endpoint.counts.requests == 1 + 2 * 2
    assert "0 (" not in status(settings.run).split("limrank.queries")[1].splitlines()[0]


def test_a_second_reply_that_is_good_is_taken(tmp_path: Path) -> None:
    seen: set[str] = set()

    def script(_: int, body: dict[str, Any]) -> Fault | None:
        prompt = body["messages"][1]["content"]
        if prompt in seen:
            return None
        seen.add(prompt)
        return Fault(content="no")

    with ScriptedEndpoint(script=script) as endpoint:
        settings = limrank_settings(tmp_path, endpoint.url, seeds=2)
        assert run(settings, StringIO()) > 0
        assert endpoint.counts.requests == 2 * 2 * PER_SEED
    with ScriptedEndpoint() as endpoint:
        run(limrank_settings(tmp_path / "good", endpoint.url, seeds=2), StringIO())
    assert list(examples(tmp_path / "run")) == list(examples(tmp_path / "good" / "run"))


def test_a_refusal_is_not_asked_again(tmp_path: Path) -> None:
    def script(_: int, body: dict[str, Any]) -> Fault | None:
        return Fault(refusal="I will not write that.") if asks_for_passage(body) else None

    with ScriptedEndpoint(script=script) as endpoint:
        run(limrank_settings(tmp_path, endpoint.url, seeds=1), StringIO())
        assert endpoint.counts.requests == 1 + 2
    refused = [row for row in rows(tmp_path) if row.status is Status.REJECTED]
    assert {(row.reason, row.reply) for row in refused} == {
        ("refusal: I will not write that.", "I will not write that.")
    }


@pytest.mark.parametrize(
    "fault",
    [
        Fault(400, '{"error": {"message": "use max_completion_tokens"}}'),
        Fault(body='{"error": {"message": "provider down"}}'),
        Fault(body="<html>Sign in</html>"),
    ],
    ids=["a refused setting", "an error as 200", "another page"],
)
def test_an_endpoint_that_answers_nothing_stops_the_run_and_makes_nothing_final(tmp_path: Path, fault: Fault) -> None:
    with (
        ScriptedEndpoint(script=lambda *_: fault) as endpoint,
        pytest.raises(EndpointFailed, match="20 calls in a row"),
    ):
        run(limrank_settings(tmp_path, endpoint.url, seeds=40), StringIO())
    assert {row.status for row in rows(tmp_path)} == {Status.FAILED}
    with ScriptedEndpoint() as endpoint:
        assert run(limrank_settings(tmp_path, endpoint.url, seeds=40), StringIO()) > 0


def test_a_question_that_is_refused_once_the_endpoint_has_answered_is_given_up(tmp_path: Path) -> None:
    def script(_: int, body: dict[str, Any]) -> Fault | None:
        return Fault(400, '{"error": {"message": "too long"}}') if asks_for_passage(body) else None

    with ScriptedEndpoint(script=script) as endpoint:
        settings = limrank_settings(tmp_path, endpoint.url, seeds=1)
        assert run(settings, StringIO()) == 0
    assert {row.status for row in rows(tmp_path) if row.stage == "limrank.positive"} == {Status.REJECTED}
    assert (settings.run / "done.json").exists()


def test_tokens_that_are_not_stated_are_estimated_where_they_have_a_price(tmp_path: Path) -> None:
    """Else no budget would bind."""
    body = json.dumps({"choices": [{"message": {"content": "no JSON " * 30}, "finish_reason": "stop"}]})
    with ScriptedEndpoint(script=lambda *_: Fault(body=body)) as endpoint:
        priced = endpoint_knobs(endpoint.url, price_prompt=10.0, price_completion=30.0, replies=1)
        run(limrank_settings(tmp_path, endpoint.url, seeds=1, generator=priced), StringIO())
    (row,) = rows(tmp_path)
    assert row.completion_tokens == 30 * 8 // 3 + 1
    assert row.prompt_tokens > 100
    assert row.cost == pytest.approx((10 * row.prompt_tokens + 30 * row.completion_tokens) / 1e6)


def test_a_call_without_a_reply_costs_nothing_and_is_made_by_the_next_run(tmp_path: Path) -> None:
    down = True

    def script(_: int, body: dict[str, Any]) -> Fault | None:
        return Fault(503, "busy", headers=(("retry-after-ms", "1"),)) if down and asks_for_passage(body) else None

    with ScriptedEndpoint(script=script) as endpoint:
        settings = limrank_settings(tmp_path, endpoint.url, seeds=2, generator=endpoint_knobs(endpoint.url, retries=1))
        assert run(settings, StringIO()) == 0
        failed = [row for row in rows(tmp_path) if row.status is Status.FAILED]
        assert [(row.attempt, row.cost, row.reply) for row in failed] == [(0, 0.0, "busy")] * 4
        assert "not finished" in status(settings.run)
        assert not (settings.run / "done.json").exists()
        down = False
        assert run(settings, StringIO()) > 0
        assert endpoint.counts.requests == 2 + 4 * 2 + 2 * (PER_SEED - 1)
    assert "finished" in status(settings.run)


def test_an_endpoint_that_stops_answering_stops_the_run(tmp_path: Path) -> None:
    def script(number: int, _: dict[str, Any]) -> Fault | None:
        return Fault(500, "gone", headers=(("retry-after-ms", "1"),)) if number > 50 else None

    with ScriptedEndpoint(script=script) as endpoint:
        knobs = endpoint_knobs(endpoint.url, retries=0)
        settings = limrank_settings(tmp_path, endpoint.url, seeds=40, generator=knobs, judge=knobs | {"model": "judge"})
        with pytest.raises(EndpointFailed, match=r"gave no reply to 20 calls in a row \(the last: http_500: gone\)"):
            run(settings, StringIO())
    kept = Counter(row.status for row in rows(tmp_path))
    assert kept[Status.ACCEPTED] == 50
    assert 20 <= kept[Status.FAILED] <= 60


@pytest.mark.parametrize("wrong", ["key", "model", "address"])
def test_an_endpoint_that_cannot_be_used_is_one_sentence_and_an_exit_code(tmp_path: Path, wrong: str) -> None:
    fault = {"key": Fault(401, "{}"), "model": Fault(404, "{}"), "address": None}[wrong]
    with ScriptedEndpoint(script=lambda *_: fault) as endpoint:
        url = "http://127.0.0.1:9/v1" if wrong == "address" else endpoint.url
        bad = endpoint_knobs(url, retries=0)
        knobs = limrank_knobs(tmp_path, url, seeds=3, generator=bad, judge=bad)
        process = start("run", knobs["run"], "--settings", toml_of(knobs, tmp_path / "settings.toml"))
        _, complained = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert len(complained.splitlines()) == 1
    assert complained.startswith(f"limrank-synth run: {url} ")


def test_a_missing_key_stops_before_any_call(tmp_path: Path) -> None:
    assert "NO_SUCH_KEY" not in os.environ
    with ScriptedEndpoint() as endpoint:
        judge = endpoint_knobs(endpoint.url, model="judge", key_variable="NO_SUCH_KEY")
        with pytest.raises(BadSettings, match="NO_SUCH_KEY is not set"):
            run(limrank_settings(tmp_path, endpoint.url, judge=judge), StringIO())
        assert endpoint.counts.requests == 0
