"""Pages of other origins: what a browser asks, and what it is told, by the Fetch standard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cli.errors import BadSettings
from service.lifecycle import Phase
from service.settings import from_command_line
from tests.fakes import ScriptedEngine
from tests.service.api.bad_input import GOOD
from tests.service.serving import WITH_KEY, guarded_service, serving
from tests.service.wire.server import open_service

PAGE, OTHER = "https://app.example.com", "https://elsewhere.example.com"
ALLOW, EXPOSE = "access-control-allow-origin", "access-control-expose-headers"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("keys")
    service = guarded_service(folder, cors_origins=(PAGE, "http://localhost:5173"), documents_per_minute=10)
    with serving(service.app) as url, httpx.Client(base_url=url) as client:
        yield client


def cross_origin_headers(answer: httpx.Response) -> set[str]:
    return {name for name in answer.headers if name.startswith("access-control-")}


def test_a_preflight_is_answered_before_the_key_is_asked(client: httpx.Client) -> None:
    wanted = "authorization, content-type, x-stainless-lang"
    answer = client.options("/rerank", headers=PREFLIGHT | {"Access-Control-Request-Headers": wanted})
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers[ALLOW] == PAGE
    assert answer.headers["access-control-allow-headers"] == wanted
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert int(answer.headers["access-control-max-age"]) > 0
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["vary"] == "Origin"
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank/batch", "/info", "/v1/models", "/nowhere", "/health/ready"])
def test_every_path_is_preflighted(client: httpx.Client, path: str) -> None:
    assert client.options(path, headers=PREFLIGHT).status_code == 204


def test_an_answer_may_be_read_by_the_page(client: httpx.Client) -> None:
    answer = client.post("/rerank", json=GOOD, headers=WITH_KEY | {"Origin": PAGE})
    assert (answer.status_code, answer.headers[ALLOW], answer.headers["vary"]) == (200, PAGE, "Origin")
    exposed = answer.headers[EXPOSE].lower().split(", ")
    assert {"retry-after", "x-request-id"} <= set(exposed)


def test_refusals_may_be_read_too(client: httpx.Client) -> None:
    origin, keyed = {"Origin": PAGE}, WITH_KEY | {"Origin": PAGE}
    refusals = {
        401: client.post("/rerank", json=GOOD, headers=origin),
        400: client.post("/rerank", content=b"{", headers=keyed),
        404: client.get("/nowhere", headers=keyed),
        405: client.put("/rerank", headers=keyed),
        413: client.post("/rerank", json=GOOD | {"documents": ["a"] * 20}, headers=keyed),
        415: client.post("/rerank", content=b"{", headers=keyed | {"Content-Encoding": "br"}),
    }
    for status, answer in refusals.items():
        assert (answer.status_code, answer.headers[ALLOW]) == (status, PAGE), answer.text
    answer = refusals[400]
    while answer.status_code != 429:
        answer = client.post("/rerank", json=GOOD, headers=keyed)
    assert answer.headers["retry-after"]
    assert answer.headers[ALLOW] == PAGE


def test_what_fails_inside_may_be_read_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also what nobody foresaw, a stream, and what a server says that stops."""
    engine = ScriptedEngine(fail_always={"poison"})
    service = guarded_service(tmp_path, engine, cors_origins=(PAGE,))
    keyed = WITH_KEY | {"Origin": PAGE}
    with serving(service.app) as url, httpx.Client(base_url=url, headers=keyed) as client:
        answers = {
            "failed": client.post("/rerank", json=GOOD | {"documents": ["poison"]}),
            "in a stream": client.post("/rerank", json=GOOD | {"documents": ["a", "poison"], "stream": True}),
            "batch": client.post("/v1/rerank/batch", json={"requests": []}),
            "decision": client.post("/v1/decisions", json={"input": "a", "questions": []}),
        }
        engine.stuck = True
        answers["late"] = client.post("/rerank", json=GOOD, headers={"X-Request-Timeout-Ms": "50"})
        engine.stuck = False
        service.metrics.observe_answer = None  # type: ignore[assignment, method-assign]
        answers["unforeseen"] = client.post("/rerank", json=GOOD)
        service.lifecycle.phase = Phase.DRAINING
        answers["stopping"] = client.post("/rerank", json=GOOD)
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "failed": 500,
        "in a stream": 200,
        "batch": 400,
        "decision": 400,
        "late": 504,
        "unforeseen": 500,
        "stopping": 503,
    }
    for name, answer in answers.items():
        assert (answer.headers[ALLOW], answer.headers["vary"]) == (PAGE, "Origin"), name
        assert "Retry-After" in answer.headers[EXPOSE], name
        assert answer.headers["x-request-id"], name
    assert "event: error" in answers["in a stream"].text
    assert answers["stopping"].headers["retry-after"]
    assert "unforeseen_error" in caplog.text


@pytest.mark.parametrize("origin", [OTHER, "null", f"{PAGE}.evil.example", f"{PAGE}:8443", PAGE.upper(), ""])
def test_pages_of_other_origins_are_told_nothing(client: httpx.Client, origin: str) -> None:
    answer = client.get("/info", headers=WITH_KEY | {"Origin": origin})
    assert answer.status_code == 200, "it is the browser that refuses"
    assert cross_origin_headers(answer) == set()
    assert answer.headers["vary"] == "Origin", "so that no cache gives it to another page"
    preflight = client.options("/rerank", headers=PREFLIGHT | {"Origin": origin})
    assert preflight.status_code == 401
    assert cross_origin_headers(preflight) == set()


def test_callers_that_are_no_pages_notice_nothing(client: httpx.Client) -> None:
    answer = client.get("/info", headers=WITH_KEY)
    assert cross_origin_headers(answer) == set()
    plain = client.options("/rerank", headers={"Origin": PAGE})
    assert plain.status_code == 401, "no preflight without its method"


def test_a_preflight_cannot_write_headers_of_its_own(client: httpx.Client) -> None:
    wanted = {"Access-Control-Request-Headers": 'x"y, <script>'}
    answer = client.options("/rerank", headers=PREFLIGHT | wanted)
    assert answer.status_code == 204
    assert "access-control-allow-headers" not in answer.headers


def test_none_by_default() -> None:
    with open_service() as url:
        answer = httpx.get(f"{url}/info", headers={"Origin": PAGE})
        assert cross_origin_headers(answer) == set()
        assert "vary" not in answer.headers
        assert httpx.options(f"{url}/rerank", headers=PREFLIGHT).status_code == 405


def test_all_origins_where_there_are_no_keys() -> None:
    with open_service(cors_origins=("*",)) as url:
        for origin in (PAGE, "null"):
            answer = httpx.get(f"{url}/info", headers={"Origin": origin})
            assert (answer.headers[ALLOW], "vary" in answer.headers) == ("*", False)
        assert httpx.options(f"{url}/rerank", headers=PREFLIGHT).status_code == 204


@pytest.mark.parametrize(
    "origin",
    [
        "app.example.com",
        "https://app.example.com/",
        "https://App.example.com",
        "https://*.example.com",
        "null",
        "https://",
    ],
)
def test_what_is_no_origin_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(BadSettings, match="is no origin"):
        from_command_line(["--cors-origins", origin], {})


def test_not_all_origins_with_keys(tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    with pytest.raises(BadSettings, match="without keys"):
        from_command_line(["--cors-origins", "*", "--keys-file", str(keys)], {})
    settings = from_command_line([], {"LIMRANK_CORS_ORIGINS": f"{PAGE}, http://[::1]:3000"})
    assert settings.cors_origins == (PAGE, "http://[::1]:3000")
