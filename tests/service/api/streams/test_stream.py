"""Streamed answers of a running service: their events, their refusals and failures, and clients that leave."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from service.api.app import create_app
from service.settings import Settings
from service.wire.cohere_answer import CohereAnswer
from service.wire.events import Event
from tests.fakes import REASONING, ScriptedEngine
from tests.service.api.streams.reading import EVENTS, LINES, arriving, events_of, lines_of, of, read, without_moment
from tests.service.api.streams.writing import WritingEngine
from tests.service.serving import serving, wait_until
from tests.service.wire.server import open_service
from tests.waiting import PATIENCE

QUERY = "red apple pie"
TEXTS = ["nothing", "an apple pie", "red apple pie", "a pie"]
BODY: dict[str, Any] = {"query": QUERY, "documents": TEXTS}
REASONED = BODY | {"mode": "reasoning", "return_reasoning": True}
EVENT: TypeAdapter[Any] = TypeAdapter(Event)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with open_service(WritingEngine()) as url, httpx.Client(base_url=url, timeout=PATIENCE) as client:
        yield client


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank", "/v1/ranking", "/ranking"])
@pytest.mark.parametrize("headers", [LINES, EVENTS])
def test_an_event_for_each_document_then_the_ordinary_answer(
    client: httpx.Client, path: str, headers: dict[str, str]
) -> None:
    body = BODY | {"top_n": 2, "return_documents": True}
    ordinary = client.post(path, json=body).json()
    answer = client.post(path, json=body, headers=headers)
    events = read(answer)
    assert [name for name, _ in events] == ["document"] * len(TEXTS) + ["done"]
    assert without_moment(events[-1][1]) == without_moment(ordinary)
    documents = {event.pop("index"): event for event in of("document", events)}
    assert sorted(documents) == [0, 1, 2, 3], "top_n cuts the last line alone"
    for result in ordinary["results"]:
        assert {"event": "document", **result} == {"index": result["index"], **documents[result["index"]]}
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert "content-length" not in answer.headers
    assert answer.headers["content-type"].startswith(headers["Accept"])


def test_every_event_is_as_the_page_describes_it(client: httpx.Client) -> None:
    body = REASONED | {"documents": ["", *TEXTS], "return_label_mass": True}
    events = read(client.post("/rerank", json=body, headers=LINES))
    assert {name for name, _ in events} == {"document", "reasoning", "warning", "done"}
    for _, event in events[:-1]:
        EVENT.validate_python(event)
    TypeAdapter(CohereAnswer).validate_python(events[-1][1])
    assert of("warning", events) == [{"event": "warning", "message": "1 of 5 documents are blank: 0."}]
    assert events[-2][0] == "warning"


def test_the_body_asks_for_server_sent_events(client: httpx.Client) -> None:
    answer = client.post("/rerank", json=BODY | {"stream": True})
    assert events_of(answer.text)[-1][0] == "done"
    assert client.post("/rerank", json=BODY | {"stream": False}, headers=LINES).json()["results"]


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/x-ndjson, application/json", "text/html"])
def test_the_ordinary_answer_is_what_others_get(client: httpx.Client, accept: str) -> None:
    assert client.post("/rerank", json=BODY, headers={"Accept": accept}).json()["results"]


@pytest.mark.parametrize(
    "body", [{"query": QUERY, "texts": TEXTS}, {"query": {"text": QUERY}, "passages": [{"text": "a"}]}]
)
def test_other_shapes_are_never_streamed(client: httpx.Client, body: dict[str, Any]) -> None:
    for headers in (LINES, EVENTS):
        answer = client.post("/rerank", json=body | {"stream": True}, headers=headers)
        assert answer.headers["content-type"] == "application/json"
        answer.json()


def test_documents_below_the_least_score_have_no_event(client: httpx.Client) -> None:
    body = BODY | {"min_score": 0.6}
    events = read(client.post("/rerank", json=body, headers=LINES))
    assert sorted(event["index"] for event in of("document", events)) == [1, 2]
    assert without_moment(events[-1][1]) == without_moment(client.post("/rerank", json=body).json())
    ((name, answer),) = read(client.post("/rerank", json=BODY | {"min_score": 1}, headers=EVENTS))
    assert (name, answer["results"], answer["meta"]["below_min_score"]) == ("done", [], 4)


def test_pieces_of_reasoning_come_while_it_is_written(client: httpx.Client) -> None:
    events = read(client.post("/rerank", json=REASONED, headers=LINES))
    for index in range(len(TEXTS)):
        own = [(name, event) for name, event in events if event.get("index") == index]
        text = ""
        for _, piece in own[:-1]:
            assert piece["offset"] == len(text)
            text += piece["text"]
        name, document = own[-1]
        assert name == "document"
        assert text == document["reasoning"]["text"] == REASONING
    silent = read(client.post("/rerank", json=REASONED | {"return_reasoning": False}, headers=LINES))
    assert not of("reasoning", silent)


def test_events_come_before_the_call_has_ended() -> None:
    engine = WritingEngine()
    with open_service(engine) as url, httpx.Client(base_url=url, timeout=PATIENCE) as client:
        body = REASONED | {"documents": ["a", "stop"]}
        with client.stream("POST", "/rerank", json=body, headers=LINES) as answer:
            events = arriving(answer)
            early: list[dict[str, Any]] = []
            while not early or early[-1]["event"] != "document":
                early.append(next(events))
            while "".join(each["text"] for each in early if each.get("index") == 1) != REASONING:
                early.append(next(events))
            assert engine.running == 1, "the call is still on its way"
            engine.let_go()
            rest = list(events)
        assert [each.get("event") for each in rest] == ["document", None]


def test_a_document_that_is_tried_once_more_begins_again() -> None:
    with open_service(WritingEngine()) as url, httpx.Client(base_url=url, timeout=PATIENCE) as client:
        events = read(client.post("/rerank", json=REASONED | {"documents": ["break", "x"]}, headers=LINES))
        pieces = [event for event in of("reasoning", events) if event["index"] == 0]
        assert [piece["offset"] for piece in pieces].count(0) == 2
        last = max(place for place, piece in enumerate(pieces) if piece["offset"] == 0)
        assert "".join(piece["text"] for piece in pieces[last:]) == REASONING


@pytest.mark.parametrize("headers", [LINES, EVENTS])
def test_what_fails_before_the_first_event_is_an_ordinary_error(client: httpx.Client, headers: dict[str, str]) -> None:
    for body, status in (
        (BODY | {"query": " "}, 400),
        (BODY | {"stream": "perhaps"}, 400),
        (BODY | {"documents": []}, 400),
        (BODY | {"documents": ["a"] * 10_001}, 413),
    ):
        answer = client.post("/rerank", json=body, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
        assert answer.json()["message"]
    late = client.post("/rerank", json=BODY, headers=headers | {"X-Request-Timeout-Ms": "0"})
    assert late.status_code == 400


def test_a_deadline_before_the_first_event_is_a_504() -> None:
    engine = ScriptedEngine()
    with open_service(engine) as url, httpx.Client(base_url=url, timeout=PATIENCE) as client:
        engine.stuck = True
        answer = client.post("/rerank", json=BODY, headers=LINES | {"X-Request-Timeout-Ms": "100"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")


@pytest.mark.parametrize("headers", [LINES, EVENTS])
def test_a_deadline_behind_the_first_event_is_its_own_event(headers: dict[str, str]) -> None:
    engine = WritingEngine()
    with open_service(engine) as url, httpx.Client(base_url=url, timeout=PATIENCE) as client:
        body = BODY | {"documents": ["a", "stop"]}
        answer = client.post("/rerank", json=body, headers=headers | {"X-Request-Timeout-Ms": "3000"})
        (document, (name, error)) = read(answer)
        assert document[1]["index"] == 0
        assert (name, error["status"], error["error"]["code"]) == ("error", 504, "deadline_exceeded")
        assert error["id"] == answer.headers["x-request-id"]
        EVENT.validate_python(error)
        wait_until(lambda: engine.running == 0, "the documents to leave the engine")
        series = client.get("/metrics").text
        assert 'limrank_requests_total{code="504",route="/rerank",shape="cohere"} 1.0' in series


def test_a_failing_document_is_named_in_the_error_event() -> None:
    engine = ScriptedEngine(fail_always={"a bad one"})
    with open_service(engine) as url, httpx.Client(base_url=url, timeout=PATIENCE) as client:
        events = read(client.post("/rerank", json=BODY | {"documents": ["a", "a bad one"]}, headers=LINES))
        name, error = events[-1]
        assert (name, error["status"], error["error"]["param"]) == ("error", 500, "documents[1]")
        assert "retry_after" not in error


def test_a_client_that_leaves_halfway_frees_its_work() -> None:
    engine = WritingEngine()
    with open_service(engine) as url, httpx.Client(base_url=url, timeout=PATIENCE) as client:
        with client.stream("POST", "/rerank", json=BODY | {"documents": ["a", "stop"]}, headers=LINES) as answer:
            events = arriving(answer)  # kept: without it the answer would be closed at once
            assert next(events)["index"] == 0
            assert engine.running == 1
        wait_until(lambda: engine.running == 0, "the document to leave the engine")
        cancelled = 'limrank_requests_cancelled_total{stage="running"} 1.0'
        wait_until(lambda: cancelled in client.get("/metrics").text, "the call to be counted", 0.02)
        counted = client.get("/metrics").text
        assert 'limrank_requests_total{code="499",route="/rerank",shape="cohere"} 1.0' in counted
        assert "limrank_held_bytes 0.0" in counted


def test_a_body_is_held_until_the_stream_has_ended() -> None:
    engine = WritingEngine()
    with open_service(engine) as url, httpx.Client(base_url=url, timeout=PATIENCE) as client:
        with client.stream("POST", "/rerank", json=BODY | {"documents": ["a", "stop"]}, headers=LINES) as answer:
            events = arriving(answer)
            next(events)
            assert "limrank_held_bytes 0.0" not in client.get("/metrics").text
            engine.let_go()
            list(events)
        wait_until(lambda: "limrank_held_bytes 0.0" in client.get("/metrics").text, "the body to be freed", 0.02)


def test_curl_prints_lines_as_they_are(client: httpx.Client) -> None:
    def curl(body: dict[str, Any], *options: str) -> str:
        command = ["curl", "-sN", *options, "-d", json.dumps(body), str(client.base_url.join("/rerank"))]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout

    assert lines_of(curl(REASONED, "-H", "Accept: application/x-ndjson"))[-1][0] == "done"
    assert events_of(curl(BODY | {"stream": True}))[-1][0] == "done"


def test_no_character_of_a_text_is_a_line_break(client: httpx.Client) -> None:
    """Also for clients that split lines as Python does, which knows more breaks than JSON escapes."""
    text = "".join(map(chr, (*range(0x20), 0x85, 0xA0, 0x2028, 0x2029, 0xFEFF))) + '"\\'
    body = {"query": "q", "documents": [text, {"text": "x", text: text}], "return_documents": True}
    with client.stream("POST", "/rerank", json=body, headers=LINES) as answer:
        *events, last = arriving(answer)
    assert sorted(event["document"]["text"] for event in events) == sorted([text, "x"])
    assert {result["document"]["text"] for result in last["results"]} == {text, "x"}
    streamed = client.post("/rerank", json=body, headers=EVENTS).text
    assert len(streamed.splitlines()) == 3 * 3


# Whatever stands in a text, no framing is broken by it.
NASTY = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(["\n\ndata: x", "\r", "\u2028", "\x00"])


@settings(max_examples=40, deadline=None)
@given(
    documents=st.lists(NASTY, min_size=1, max_size=4), reasoning=st.booleans(), headers=st.sampled_from([LINES, EVENTS])
)
def test_the_last_line_equals_the_ordinary_answer(
    client: httpx.Client, documents: list[str], reasoning: bool, headers: dict[str, str]
) -> None:
    body = {"query": "q", "documents": documents, "return_documents": True}
    if reasoning:
        body |= {"mode": "reasoning", "return_reasoning": True}
    ordinary = client.post("/rerank", json=body).json()
    events = read(client.post("/rerank", json=body, headers=headers))
    assert without_moment(events[-1][1]) == without_moment(ordinary)
    told = {event["index"]: event for event in of("document", events)}
    assert [{"event": "document", **result} for result in ordinary["results"]] == [
        told[result["index"]] for result in ordinary["results"]
    ]


def test_what_nobody_foresaw_is_an_event_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    """An answer that cannot be built when its events have been sent."""
    composition = create_app(Settings(), ScriptedEngine())

    def breaks(*_: object) -> None:
        raise RuntimeError("secret")

    composition.metrics.observe_answer = breaks  # type: ignore[assignment, method-assign]
    with serving(composition.app) as url, httpx.Client(base_url=url, timeout=PATIENCE) as client:
        name, error = read(client.post("/rerank", json=BODY, headers=LINES))[-1]
        assert (name, error["status"]) == ("error", 500)
        assert "secret" not in json.dumps(error)
    assert "unforeseen_error" in caplog.text
