"""An offer to speak another protocol is passed over: one answer, to the request as it stands."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.processes import ServerProcess, server
from tests.service.http.raw import BODY, connected, everything, post, statuses

OFFERS = ["h2c", "websocket", "TLS/1.2", "h2c, TLS/1.2", "unheard-of"]
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder: Path = tmp_path_factory.mktemp("upgrades")
    with server("tests.service.scripted_server", free_port(), folder, "--drain-delay", "0") as running:
        yield running


def _ask(connection: socket.socket, head: bytes, body: bytes, pause: float) -> bytes:
    connection.sendall(head if pause else head + body)
    if pause:
        time.sleep(pause)
        connection.sendall(body)
    return everything(connection)


@pytest.mark.parametrize("pause", [0, 0.1], ids=["one packet", "two packets"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("offer", OFFERS)
def test_an_upgrade_offer_changes_nothing(running: ServerProcess, offer: str, chunked: bool, pause: float) -> None:
    fields = [f"Upgrade: {offer}", "Connection: Upgrade, HTTP2-Settings, close", "HTTP2-Settings: AAMAAABk"]
    body = CHUNKED if chunked else BODY
    whole = post(*fields, *(["Transfer-Encoding: chunked"] if chunked else []), body=body, length=not chunked)
    head = whole.removesuffix(body)
    with connected(running.url) as connection:
        answer = _ask(connection, head, body, pause)
    assert statuses(answer) == [200], answer
    assert b'"relevance_score"' in answer


@pytest.mark.parametrize("blank_lines", [0, 300_000])
def test_a_request_in_a_body_is_not_run(running: ServerProcess, blank_lines: int) -> None:
    inner = b"\r\n" * blank_lines + b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n"
    with connected(running.url) as connection:
        answer = _ask(
            connection, post("Connection: Upgrade, close", "Upgrade: h2c", body=inner).removesuffix(inner), inner, 0.1
        )
        assert statuses(answer) == [400], answer


def test_the_connection_goes_on_after_an_offer(running: ServerProcess) -> None:
    first = post("Connection: Upgrade", "Upgrade: h2c")
    with connected(running.url) as connection:
        connection.sendall(first + post("Connection: close"))
        assert statuses(everything(connection)) == [200, 200]


def test_nothing_is_logged_of_an_offer_but_the_access_line(running: ServerProcess) -> None:
    with connected(running.url) as connection:
        connection.sendall(post("Connection: Upgrade, close", "Upgrade: websocket"))
        everything(connection)
    assert "pip install" not in running.log.read_text()
