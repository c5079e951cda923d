"""Clients and proxies as they are by default: Java's, curl, node, and nginx in front."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.processes import ServerProcess, server
from tests.requirements_check import require
from tests.service.http.nginx import nginx
from tests.service.http.raw import BODY
from tests.waiting import PATIENCE

PROGRAMS = Path(__file__).parent / "programs"
TOO_LARGE = 20_000_000  # bytes; the server takes 16 MiB
_SERVER = """
  client_max_body_size 100m;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass {upstream}; {more} }}
    location = /info {{ return 403; }}
  }}
"""
_WEBSOCKET_LINES = (
    "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("clients")
    with server("tests.service.scripted_server", free_port(), folder, "--drain-delay", "0") as running:
        yield running


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _java(url: str, body: str) -> str:
    java = shutil.which("java")
    require("java", present=java is not None, remedy="install the system package openjdk-17-jdk-headless")
    return _run(str(java), str(PROGRAMS / "Rerank.java"), url, body)


def test_javas_client_offers_h2c_and_is_answered(running: ServerProcess) -> None:
    status, _, answer = _java(f"{running.url}/rerank", BODY.decode()).partition(" ")
    assert (status, len(json.loads(answer)["results"])) == ("200", 2)


def test_javas_client_sees_an_early_refusal(running: ServerProcess) -> None:
    assert _java(f"{running.url}/rerank", str(TOO_LARGE)).startswith("413 ")


def test_curl_offers_h2c_and_is_answered(running: ServerProcess) -> None:
    curl = shutil.which("curl")
    require("curl", present=curl is not None, remedy="install the system package curl")
    answer = _run(str(curl), "--silent", "--http2", "--data", BODY.decode(), f"{running.url}/rerank")
    assert len(json.loads(answer)["results"]) == 2


def test_node_sees_an_early_refusal(running: ServerProcess) -> None:
    node = shutil.which("node")
    require("node", present=node is not None, remedy="install Node.js")
    assert _run(str(node), str(PROGRAMS / "post.mjs"), f"{running.url}/rerank", str(TOO_LARGE)) == "413\n"


@contextmanager
def _nginx(upstream: str, folder: Path, more: str) -> Iterator[int]:
    port = free_port()
    with nginx(folder, port, _SERVER.format(port=port, upstream=upstream, more=more)):
        yield port


def _post(port: int, body: bytes, path: str = "/rerank", **headers: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request("POST", path, body=body, headers=headers)
        with connection.getresponse() as answer:
            answer.read()
            return answer.status


@pytest.mark.parametrize("more", ["", "proxy_request_buffering off;"], ids=["default", "unbuffered"])
def test_an_early_refusal_passes_nginx(running: ServerProcess, tmp_path: Path, more: str) -> None:
    with _nginx(running.url, tmp_path, more) as port:
        assert [_post(port, b"x" * TOO_LARGE) for _ in range(8)] == [413] * 8


def test_what_nginx_forbids_cannot_be_smuggled_past_it(running: ServerProcess, tmp_path: Path) -> None:
    inner = b"\r\n" * 300_000 + b"GET /info HTTP/1.1\r\nHost: x\r\nX-Request-Id: smuggled\r\n\r\n"
    with _nginx(running.url, tmp_path, _WEBSOCKET_LINES) as port:
        assert [_post(port, inner, Upgrade="h2c") for _ in range(3)] == [400] * 3
    assert "smuggled" not in running.log.read_text()
