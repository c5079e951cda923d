from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from service.api.auth import MAX_AUTHORIZATION_BYTES, AuthMiddleware, token_of
from service.api.context import RequestContext, request_context
from service.api.paths import PROBE_PATHS
from service.ranking import ANONYMOUS, Key
from service.telemetry.metrics import Metrics
from tests.service.api.auth_walk import paths_of, unguarded
from tests.service.serving import SECRET, WITH_KEY, guarded_service, serving
from tests.waiting import PATIENCE

BODY = {"query": "glacier", "documents": ["a glacier", "bread"]}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(guarded_service(tmp_path_factory.mktemp("keys")).app) as url:
        yield url


def test_no_route_lets_anyone_in_without_a_key(tmp_path: Path) -> None:
    app = guarded_service(tmp_path).app
    assert {"/rerank", "/v1/ranking", "/v1/models/anything", "/info", "/openapi.json"} <= set(paths_of(app.routes))
    with serving(app) as url:
        assert unguarded(app, url) == []


def test_without_pages_the_list_of_paths_alone_needs_no_key(tmp_path: Path) -> None:
    app = guarded_service(tmp_path, playground="off").app
    with serving(app) as url:
        assert unguarded(app, url, static=[("GET", "/"), ("HEAD", "/")]) == []


def test_the_walk_finds_a_door_that_is_open(tmp_path: Path) -> None:
    app = guarded_service(tmp_path, root_path="/models").app
    app.user_middleware = [each for each in app.user_middleware if each.cls is not AuthMiddleware]  # type: ignore[comparison-overlap]
    with serving(app) as url:
        assert any(line.startswith("GET /info None -> 200") for line in unguarded(app, url))


@pytest.mark.parametrize(
    ("path", "status"),
    [("/health/live", 200), ("/info", 401), ("/rerank", 401), ("/docs", 200), ("/", 200), ("/nowhere", 401)],
)
def test_below_a_root_path_the_same_paths_are_guarded(tmp_path: Path, path: str, status: int) -> None:
    with serving(guarded_service(tmp_path, root_path="/models").app) as url:
        assert httpx.get(f"{url}/models{path}").status_code == status
        assert httpx.get(url + path).status_code == status
        assert httpx.get(f"{url}/models").status_code == 401


def test_a_root_path_that_looks_like_a_probe_opens_nothing(tmp_path: Path) -> None:
    with serving(guarded_service(tmp_path, root_path="/health").app) as url:
        assert httpx.get(f"{url}/health/health/live").status_code == 200
        assert httpx.get(f"{url}/health/info").status_code == 401
        assert httpx.get(f"{url}/health/live", headers=WITH_KEY).status_code == 404


def test_probes_need_no_key(service: str) -> None:
    for path in PROBE_PATHS:
        assert httpx.get(service + path).status_code == 200, path


@pytest.mark.parametrize("header", [f"Bearer {SECRET}", f"bearer {SECRET}", f"BEARER  {SECRET}", SECRET])
def test_a_key_opens_with_the_scheme_or_bare(service: str, header: str) -> None:
    answer = httpx.post(f"{service}/rerank", json=BODY, headers={"Authorization": header})
    assert answer.status_code == 200
    assert answer.json()["results"][0]["index"] == 0


def test_a_refusal_says_what_to_send_in_every_client_s_words(service: str) -> None:
    answer = httpx.post(f"{service}/rerank", json=BODY, headers={"X-Request-Id": "abc"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    body = answer.json()
    assert body["message"] == body["detail"] == body["error"]["message"]
    assert "Authorization: Bearer" in body["message"]
    assert body["id"] == "abc"


@pytest.mark.parametrize(
    "raw",
    [
        b"Authorization: Bearer \xff\xfe\xe9\r\n",
        b"Authorization: Bearer \xe2\x82\xac\r\n",
        b"Authorization: \r\n",
        b"Authorization: Bearer " + b"x" * 20_000 + b"\r\n",
        b"Authorization: Bearer %b extra\r\n" % SECRET.encode(),
        b"Authorization: Bearer %b\r\nAuthorization: Bearer %b\r\n" % (SECRET.encode(), SECRET.encode()),
        b"Authorization: Basic %b\r\n" % SECRET.encode(),
        b"Authorization: Bearer %b\r\n" % SECRET.encode()[:-1],
        b"Authorization: Bearer %bx\r\n" % SECRET.encode(),
    ],
)
def test_no_header_whatever_its_bytes_is_more_than_a_401(service: str, raw: bytes) -> None:
    address = urlsplit(service)
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
        connection.sendall(b"POST /rerank HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + raw + b"\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 401
        assert "message" in json.loads(answer.read())


def test_refusals_are_counted(tmp_path: Path) -> None:
    composition = guarded_service(tmp_path)
    with serving(composition.app) as url:
        httpx.post(f"{url}/rerank", json=BODY)
        httpx.post(f"{url}/rerank", json=BODY, headers=WITH_KEY)
    registry = composition.metrics.registry
    assert registry.get_sample_value("limrank_requests_rejected_total", {"reason": "auth"}) == 1
    labels = {"route": "/rerank", "shape": "none", "code": "401"}
    assert registry.get_sample_value("limrank_requests_total", labels) == 1


@given(
    st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=MAX_AUTHORIZATION_BYTES)
)
def test_a_token_comes_out_as_it_went_in(token: str) -> None:
    value = b"Bearer " + token.encode()
    expected = token.encode() if len(value) <= MAX_AUTHORIZATION_BYTES else None
    assert token_of([(b"authorization", value)]) == expected
    bare = None if token.lower() == "bearer" else token.encode()
    assert token_of([(b"host", b"x"), (b"authorization", token.encode())]) == bare


@given(st.lists(st.tuples(st.sampled_from([b"authorization", b"x"]), st.binary(max_size=50))))
def test_any_headers_give_a_token_without_blanks_or_none(headers: list[tuple[bytes, bytes]]) -> None:
    token = token_of(headers)
    assert token is None or (token and not any(blank in token for blank in (b" ", b"\t", b"\r", b"\n")))
    if sum(name == b"authorization" for name, _ in headers) != 1:
        assert token is None


class OneKey:
    """A keyring of one key."""

    async def refresh(self) -> None:
        pass

    def look(self) -> None:
        pass

    def find(self, token: bytes) -> Key | None:
        return Key("one") if token == b"secret" else None


async def _through(scope: dict[str, Any], keyring: OneKey | None) -> tuple[list[Message], RequestContext | None]:
    """What the middleware sends for a scope, and the context that reached the app, if the request did."""
    sent: list[Message] = []
    reached: list[RequestContext] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(request_context(scope))

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await AuthMiddleware(app, keyring, Metrics())(scope, receive, send)
    return sent, reached[0] if reached else None


@pytest.mark.parametrize("path", ["/rerank", "/health/live"])
def test_a_websocket_without_a_key_is_closed_before_it_opens(path: str) -> None:
    scope = {"type": "websocket", "path": path, "headers": []}
    sent, reached = asyncio.run(_through(scope, OneKey()))
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert reached is None
    with_answers: dict[str, Any] = scope | {"extensions": {"websocket.http.response": {}}}
    sent, reached = asyncio.run(_through(with_answers, OneKey()))
    assert [message["type"] for message in sent] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert sent[0]["status"] == 401
    with_key = scope | {"headers": [(b"authorization", b"Bearer secret")]}
    assert asyncio.run(_through(with_key, OneKey())) == ([], RequestContext(key=Key("one")))


def test_the_lifespan_passes_and_without_keys_everyone_is_anonymous() -> None:
    assert asyncio.run(_through({"type": "lifespan"}, OneKey())) == ([], RequestContext())
    scope = {"type": "http", "path": "/rerank", "headers": []}
    assert asyncio.run(_through(scope, None)) == ([], RequestContext(key=ANONYMOUS))
