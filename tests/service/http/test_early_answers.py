"""An answer that is given before the body has come reaches a client that is still sending."""

from __future__ import annotations

import http.client
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing

import httpx
import pytest
import requests

from service.http.limits import HttpLimits
from tests.service.http.guarded import guarded
from tests.service.http.raw import connected, everything, post, statuses
from tests.waiting import PATIENCE

BODY = b"x" * 20_000_000
CLOSE = {"Connection": "close"}


def _by_urllib(url: str) -> int:
    try:
        urllib.request.urlopen(urllib.request.Request(url, data=BODY, method="POST"), timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        return error.code
    raise AssertionError("a 413 was taken for success")


def _by_http_client(url: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", httpx.URL(url).port, timeout=PATIENCE)) as connection:
        connection.request("POST", "/early", body=BODY, headers=CLOSE)
        with connection.getresponse() as answer:
            answer.read()
            return answer.status


CLIENTS: dict[str, Callable[[str], int]] = {
    "urllib": _by_urllib,
    "http.client": _by_http_client,
    "requests": lambda url: requests.post(url, data=BODY, headers=CLOSE, timeout=PATIENCE).status_code,
    "httpx": lambda url: httpx.post(url, content=BODY, headers=CLOSE, timeout=PATIENCE).status_code,
    "httpx, kept alive": lambda url: httpx.post(url, content=BODY, timeout=PATIENCE).status_code,
}


@pytest.mark.parametrize("client", CLIENTS)
def test_an_early_answer_arrives(client: str) -> None:
    ask = CLIENTS[client]
    with guarded() as served:
        assert [ask(f"{served.url}/early") for _ in range(3)] == [413] * 3


def test_what_is_dropped_is_bounded_in_bytes() -> None:
    limits = HttpLimits(drain_bytes=1_000_000)
    with guarded(limits) as served, connected(served.url) as connection:
        fields = ("Connection: close", "Content-Length: 1000000000")
        connection.sendall(post(*fields, path="/early", body=b"", length=False))
        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe|aborted"):
            connection.sendall(b"x" * 1_000_000_000)


@pytest.mark.parametrize("fields", [("Connection: close",), ()], ids=["close", "kept alive"])
def test_what_is_dropped_is_bounded_in_time(fields: tuple[str, ...]) -> None:
    limits = HttpLimits(drain_seconds=0.5)
    with guarded(limits) as served, connected(served.url) as connection:
        connection.sendall(post(*fields, "Content-Length: 1000", path="/early", body=b"12", length=False))
        assert statuses(everything(connection)) == [413]


def test_a_connection_goes_on_behind_an_early_answer() -> None:
    with guarded() as served, connected(served.url) as connection:
        connection.sendall(post(path="/early", body=b"12345") + post("Connection: close", body=b"123"))
        assert statuses(everything(connection)) == [413, 200]


def test_an_answer_that_nobody_takes_is_given_up() -> None:
    """Until then the app's last `send` has not returned, so what the call holds still counts."""
    with guarded(HttpLimits(write_seconds=0.5), large=20_000_000) as served:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", served.port))
        connection.sendall(post(path="/large", body=b""))
        assert served.finished.wait(PATIENCE)
        assert served.took >= 0.5
        connection.settimeout(PATIENCE)
        assert len(everything(connection)) < served.large
        connection.close()


def test_an_answer_that_is_taken_slowly_arrives_whole() -> None:
    with guarded(HttpLimits(write_seconds=60), large=3_000_000) as served, connected(served.url) as connection:
        connection.sendall(post("Connection: close", path="/large", body=b""))
        answer = everything(connection)
    assert len(answer.partition(b"\r\n\r\n")[2]) == served.large
