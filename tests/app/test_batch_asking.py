"""How a call is asked again: for lack of room as long as the service says, and not for ever."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, cast

import httpx2
import pytest

from app.batch.asking import Asker
from app.batch.calls import Call
from app.batch.results import Outcome
from app.errors import ServiceFailed

CALL = Call("batch_req_1", "a", "/v1/rerank", {"query": "q", "documents": ["d"]})
OK = httpx2.Response(200, content=b'{"results": []}')


def too_many(retry_after: str = "0", status: int = 429) -> httpx2.Response:
    return httpx2.Response(status, headers={"retry-after": retry_after}, content=b'{"message": "no room"}')


class Script:
    """A client that answers in turn, the last answer for ever. `taken`: other calls are answered meanwhile."""

    def __init__(self, *answers: httpx2.Response | Exception, taken: bool = False) -> None:
        self.answers = list(answers)
        self.taken = taken
        self.bodies: list[Any] = []
        self.asker = Asker(cast(httpx2.AsyncClient, self), 60.0)

    async def post(self, url: str, *, content: bytes, **_: object) -> httpx2.Response:
        self.bodies.append(json.loads(content))
        self.asker.taken += self.taken
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def ask(self, call: Call = CALL) -> Outcome:
        return asyncio.run(self.asker.ask(call))


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("app.batch.asking.asyncio.sleep", sleep)
    return waits


@pytest.mark.parametrize("status", [408, 429, 503])
def test_it_waits_as_long_as_the_service_says(status: int, slept: list[float]) -> None:
    assert Script(too_many("7.5", status), too_many("3", status), OK).ask().error is None
    assert slept == [7.5, 3.0]


@pytest.mark.parametrize(
    ("stated", "wait"),
    [
        ("", 1.0),
        ("soon", 1.0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 1.0),
        ("-5", 0.5),
        ("nan", 0.5),
        ("inf", 60.0),
        ("86400", 60.0),
    ],
)
def test_what_retry_after_may_say(stated: str, wait: float, slept: list[float]) -> None:
    assert Script(too_many(stated), OK).ask().error is None
    assert slept == [wait]


def test_retry_after_as_a_date(slept: list[float]) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    assert Script(too_many(moment), too_many("Mon, 01 Jan 2001 00:00:00 GMT"), OK).ask().error is None
    assert 10 < slept[0] <= 40
    assert slept[1] == 1.0


@pytest.mark.parametrize("answer", [too_many(), too_many(status=503), httpx2.ConnectError("refused")])
def test_where_no_call_is_taken_the_run_ends(answer: httpx2.Response | Exception, slept: list[float]) -> None:
    with pytest.raises(ServiceFailed, match=r"did not take call 'a' in 8 tries .*the same command goes on"):
        Script(answer).ask()
    assert len(slept) == 8


def test_a_call_beyond_the_rate_of_its_key_waits_while_others_are_taken(slept: list[float]) -> None:
    assert Script(*[too_many()] * 50, OK, taken=True).ask() == Outcome(200, {"results": []})
    assert len(slept) == 50
    assert max(slept) <= 2.0


@pytest.mark.parametrize(("answer", "status"), [(too_many(status=503), 503), (httpx2.ReadError("cut"), 0)])
def test_a_call_that_alone_is_not_taken_fails_alone(
    answer: httpx2.Response | Exception, status: int, slept: list[float]
) -> None:
    outcome = Script(answer, taken=True).ask()
    assert outcome.status == status
    assert outcome.error is not None
    assert len(slept) == 8


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ((httpx2.Response(500, content=b'{"error_type": "engine", "message": "x"}'),), "engine"),
        ((too_many(), httpx2.Response(502, content=b"<html>")), "no_json"),
        ((httpx2.ReadTimeout("late"),), "timeout"),
    ],
)
def test_what_the_call_may_have_caused_is_tried_once_more(
    answers: tuple[httpx2.Response | Exception, ...], code: str, slept: list[float]
) -> None:
    script = Script(*answers)
    outcome = script.ask()
    assert outcome.error is not None
    assert outcome.error[0] == code
    assert len(script.bodies) == len(answers) + 1


@pytest.mark.parametrize("content", [b'"hello"', b"7", b"null", b"<html>", b"", b"\xff"])
def test_an_answer_that_is_no_ranking_is_a_failure(content: bytes) -> None:
    outcome = Script(httpx2.Response(200, content=content)).ask()
    assert outcome.error is not None
    assert "is the address that of limrank-serve?" in outcome.error[1]


@pytest.mark.parametrize("refusal", [401, 403])
def test_a_key_that_is_refused_ends_the_run(refusal: int) -> None:
    with pytest.raises(ServiceFailed, match="answers no call: no such key"):
        Script(httpx2.Response(refusal, content=b'{"message": "no such key"}')).ask()


def test_a_stream_is_not_asked_for() -> None:
    assert _asked({"stream": True}) == [{**CALL.body, "stream": False}]
    assert _asked({"stream": False}) == [{**CALL.body, "stream": False}]
    assert _asked({}) == [CALL.body]


def _asked(more: dict[str, Any]) -> list[Any]:
    script = Script(OK)
    script.ask(Call("batch_req_1", "a", "/v1/rerank", {**CALL.body, **more}))
    return script.bodies
