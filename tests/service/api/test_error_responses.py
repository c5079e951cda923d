"""Every error becomes one response in the shape of the request, wherever in the stack it was raised."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from service.api.context import RequestContext, request_context
from service.api.error_responses import ErrorBoundary, error_response, install
from service.errors import (
    BadRequest,
    BodyTooLarge,
    ClientLeft,
    DeadlineExceeded,
    EngineDead,
    ServiceError,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnknownModel,
)
from service.lifecycle import Lifecycle, Phase


def raising(error: Exception, **known: str | None) -> ErrorBoundary:
    """An app that raises at once, behind the boundary; `known` of the request's context."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for field, value in known.items():
            setattr(request_context(scope), field, value)
        raise error

    return ErrorBoundary(app)


async def ask(app: Any, path: str = "/", method: str = "POST") -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.request(method, path)


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (BadRequest("m", field="top_n"), 400, "invalid_request_error", "invalid_request"),
        (Unauthorized("m"), 401, "authentication_error", "unauthorized"),
        (UnknownModel("m", field="model"), 404, "not_found_error", "model_not_found"),
        (TooManyRequests("m"), 429, "rate_limit_error", "rate_limited"),
        (Unavailable("m", reason="queue_full"), 503, "service_unavailable_error", "unavailable"),
        (DeadlineExceeded("m"), 504, "timeout_error", "deadline_exceeded"),
    ],
)
async def test_one_body_for_all_clients(error: ServiceError, status: int, kind: str, code: str) -> None:
    answer = await ask(raising(error, request_id="id-1"))
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "message": "m",
        "detail": "m",
        "error": {"message": "m", "type": kind, "param": error.field, "code": code},
        "id": "id-1",
    }


@pytest.mark.parametrize(
    ("shape", "field"), [(None, None), ("cohere", "documents"), ("voyage", "documents"), ("nim", "passages")]
)
async def test_what_is_too_many_is_named_as_the_body_names_it(shape: str | None, field: str | None) -> None:
    """Before the shape is known the body itself is too large, which is no field's fault."""
    answer = await ask(raising(BodyTooLarge("m"), shape=shape))
    assert answer.status_code == 413
    assert answer.json()["error"]["param"] == field


async def test_a_body_with_texts_gets_tei_s() -> None:
    answer = await ask(raising(BadRequest("m", field="query"), shape="tei", request_id="id-1"))
    assert answer.status_code == 422
    assert answer.json() == {"error": "m", "error_type": "Validation"}


@pytest.mark.parametrize("shape", [None, "tei", "nim"])
@pytest.mark.parametrize(("seconds", "header"), [(0.01, "1"), (1.0, "1"), (1.2, "2"), (59.5, "60")])
async def test_retry_after_is_whole_seconds_and_never_too_early(shape: str, seconds: float, header: str) -> None:
    for error in (TooManyRequests("m", retry_after=seconds), Unavailable("m", reason="deadline", retry_after=seconds)):
        assert (await ask(raising(error, shape=shape))).headers["retry-after"] == header


async def test_only_a_draining_server_asks_to_connect_elsewhere() -> None:
    for reason in ("draining", "cut"):
        stopping = await ask(raising(Unavailable("m", reason=reason)))
        assert stopping.headers["connection"] == "close"
    for error in (Unavailable("m", reason="queue_full"), EngineDead("m"), BadRequest("m")):
        assert "connection" not in (await ask(raising(error))).headers


async def test_an_unforeseen_error_tells_the_log_and_not_the_client(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await ask(raising(RuntimeError("inner detail"), request_id="id-1"), "/rerank")
    assert answer.status_code == 500
    assert "inner detail" not in answer.text
    assert answer.json()["error"]["code"] == "internal_error"
    assert answer.json()["id"] == "id-1"
    assert "unforeseen_error" in caplog.text
    assert "inner detail" in caplog.text


async def test_an_error_after_the_answer_has_begun_reaches_the_server() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("late")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": "/"}
    with pytest.raises(RuntimeError, match="late"):
        await ErrorBoundary(app)(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start"]


def test_a_client_that_left_is_marked_for_metrics_and_log() -> None:
    scope: Scope = {"type": "http", "method": "POST", "path": "/rerank"}
    error = ClientLeft("m")
    assert error_response(error, scope).status_code == 499
    assert request_context(scope) == RequestContext(error=error)
    assert error.stage == "queued"
    error = ClientLeft("m")
    error.begun = True
    error_response(error, scope)
    assert request_context(scope).error is error
    assert error.stage == "running"


async def test_the_framework_s_own_errors() -> None:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    install(app)

    @app.post("/rerank")
    async def rerank() -> None:
        raise HTTPException(418, "A teapot.")

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> str:
        return name

    unknown = await ask(app, "/v3/rerank")
    assert unknown.status_code == 404
    assert (
        unknown.json()["message"] == "There is no '/v3/rerank' here. Valid paths: POST /rerank, GET /v1/models/{name}."
    )
    wrong_method = await ask(app, "/rerank", "GET")
    assert wrong_method.status_code == 405
    assert wrong_method.headers["allow"] == "POST"
    assert wrong_method.json()["message"] == "'/rerank' does not take GET; use POST."
    assert (await ask(app, "/rerank")).json()["error"]["code"] == "i'm_a_teapot"
    long = await ask(app, "/" + "a" * 3000)
    assert len(long.json()["message"]) < 300


@pytest.mark.parametrize(
    ("phase", "started", "told"),
    [(Phase.DRAINING, False, True), (Phase.DRAINING, True, False), (Phase.READY, False, False)],
)
async def test_a_request_that_the_server_gives_up_on_is_told_to_come_again(
    phase: Phase, started: bool, told: bool
) -> None:
    """uvicorn cancels what is left when it stops, and makes a text/plain 500 of it."""
    lifecycle, sent = Lifecycle(), list[Message]()
    lifecycle.phase = phase
    waiting = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if started:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        waiting.set()
        await asyncio.Event().wait()

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/rerank", "headers": []}
    task = asyncio.create_task(ErrorBoundary(app, lifecycle)(scope, receive, send))
    await waiting.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled() is not told
    if told:
        assert sent[0]["status"] == 503
        names = dict(sent[0]["headers"])
        assert (names[b"content-type"], names[b"retry-after"]) == (b"application/json", b"1")
