from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from service.api.access_log import AccessLogMiddleware
from service.api.app import Composition
from service.api.context import request_context
from service.errors import Unavailable
from service.lifecycle import Phase
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import RequestTracer
from tests.fakes import ScriptedEngine
from tests.service.serving import SECRET, WITH_KEY, guarded_service, serving, wait_until
from tests.waiting import PATIENCE

BODY = {"query": "glacier", "documents": ["a glacier", "bread"]}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    app = guarded_service(tmp_path_factory.mktemp("keys")).app
    with serving(app) as url, httpx.Client(base_url=url, headers=WITH_KEY) as client:
        yield client


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize("given", ["abc", "A.b_c-9", "x" * 128])
def test_a_sane_request_id_comes_back(client: httpx.Client, given: str) -> None:
    assert client.get("/info", headers={"X-Request-Id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a"b', "a/b", "{}", "ä".encode().decode("latin-1"), "%0a"])
def test_any_other_request_id_is_replaced(client: httpx.Client, given: str) -> None:
    headers = [(b"X-Request-Id", given.encode("latin-1")), (b"Authorization", WITH_KEY["Authorization"].encode())]
    answer = client.get("/info", headers=headers)
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_every_answer_has_an_id_and_errors_name_it(client: httpx.Client) -> None:
    answers = [
        client.post("/rerank", json=BODY),
        client.post("/rerank", json={}),
        client.get("/nowhere"),
        client.get("/rerank"),
        client.get("/info", headers={"Authorization": "wrong"}),
        client.get("/health/live"),
    ]
    assert [answer.status_code for answer in answers] == [200, 400, 404, 405, 401, 200]
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)
    for answer in answers[1:5]:
        assert answer.json()["id"] == answer.headers["x-request-id"]


def test_requests_are_counted_by_template_never_by_path(tmp_path: Path) -> None:
    composition = guarded_service(tmp_path, root_path="/models")
    with serving(composition.app) as url, httpx.Client(base_url=url, headers=WITH_KEY) as client:
        client.post("/models/v1/rerank", json=BODY)
        for number in range(3):
            client.get(f"/nowhere/{number}")
            client.get(f"/v1/models/{number}")
            client.get("/info", headers={"Authorization": str(number)})
            client.get("/openapi.json")
        shown = client.get("/metrics").text
    labels = set(re.findall(r'limrank_requests_total\{code="\d+",route="([^"]*)"', shown))
    assert "/v1/models/{name:path}" in labels
    assert value(composition.metrics, "limrank_requests_total", route="/v1/rerank", shape="cohere", code="200") == 1
    assert value(composition.metrics, "limrank_requests_total", route="other", shape="none", code="404") == 3
    assert value(composition.metrics, "limrank_requests_total", route="other", shape="none", code="401") == 3
    assert not any(re.search(r"\d/?$", label) for label in labels)


def test_refusals_are_counted_by_reason(tmp_path: Path) -> None:
    composition = guarded_service(tmp_path, max_documents=10, documents_per_minute=5)
    with serving(composition.app) as url, httpx.Client(base_url=url, headers=WITH_KEY) as client:

        def answer(documents: int) -> httpx.Response:
            return client.post("/rerank", json={**BODY, "documents": ["a"] * documents})

        assert [answer(count).status_code for count in (11, 6, 5)] == [413, 413, 200]
        limited = answer(5)
        assert limited.status_code == 429
        assert 1 <= int(limited.headers["retry-after"]) <= 60
    assert value(composition.metrics, "limrank_requests_rejected_total", reason="too_large") == 2
    assert value(composition.metrics, "limrank_requests_rejected_total", reason="rate_limited") == 1


@pytest.mark.parametrize("reason", ["queue_full", "deadline", "draining", "cut", "not_ready"])
def test_what_is_unavailable_is_counted_by_its_reason(reason: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request_context(scope).error = Unavailable("Not now.", reason=reason)
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    metrics = Metrics()
    _call(app, metrics)
    assert value(metrics, "limrank_requests_rejected_total", reason=reason) == 1
    assert value(metrics, "limrank_requests_total", route="/rerank", shape="none", code="503") == 1


def test_a_client_that_leaves_is_counted_and_seen_while_it_waits(tmp_path: Path) -> None:
    composition = guarded_service(tmp_path, ScriptedEngine(stuck=True))
    composition.lifecycle.phase = Phase.READY
    metrics = composition.metrics
    with _ready_without_warm_up(composition) as url:
        address = urlsplit(url)
        body = json.dumps(BODY).encode()
        head = (
            f"POST /rerank HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
            connection.sendall(head.encode() + body)
            wait_until(lambda: value(metrics, "limrank_running_documents") == 2)
            assert value(metrics, "limrank_inflight_requests") == 1
            httpx.get(f"{url}/health/live")
        wait_until(lambda: value(metrics, "limrank_inflight_requests") == 0)
        assert value(metrics, "limrank_running_documents") == 0
    assert value(metrics, "limrank_requests_cancelled_total", stage="running") == 1
    assert value(metrics, "limrank_requests_total", route="/rerank", shape="cohere", code="499") == 1
    assert (
        value(metrics, "limrank_request_duration_seconds_count", route="/rerank", shape="cohere", documents="1-10") == 0
    )


def _ready_without_warm_up(composition: Composition) -> Any:
    """A stuck engine never warms up: the app's lifespan is left out."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for answer in ("lifespan.startup.complete", "lifespan.shutdown.complete"):
                await receive()
                await send({"type": answer})
        else:
            await composition.app(scope, receive, send)

    return serving(app)


@pytest.mark.parametrize("begun", [False, True])
def test_an_app_that_breaks_is_a_500_and_the_server_is_told(begun: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("broken")

    metrics = Metrics()
    with pytest.raises(RuntimeError, match="broken"):
        _call(app, metrics)
    assert value(metrics, "limrank_requests_total", route="/rerank", shape="none", code="500") == 1
    assert value(metrics, "limrank_inflight_requests") == 0


def test_a_trace_state_is_only_read_where_spans_are_exported(caplog: pytest.LogCaptureFixture) -> None:
    """OpenTelemetry quotes a malformed one in a warning."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    trace = "0af7651916cd43dd8448eb211c80319c"
    parent = (b"traceparent", f"00-{trace}-b7ad6b7169203331-01".encode())
    with caplog.at_level(logging.INFO):
        _call(app, Metrics(), parent, (b"tracestate", b"not=a=state, either"))
    assert [(record.name, record.message) for record in caplog.records] == [("limrank.access", "request")]
    assert vars(caplog.records[0])["trace_id"] == trace


def _call(app: Any, metrics: Metrics, *headers: tuple[bytes, bytes]) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/rerank", "headers": headers}
    asyncio.run(AccessLogMiddleware(app, metrics, RequestTracer())(scope, receive, send))
    return sent
