"""Heads are bounded in bytes, in number and in time, whether or not they come whole."""

from __future__ import annotations

import contextlib

import pytest

from service.http.limits import HttpLimits
from tests.service.http.guarded import guarded
from tests.service.http.raw import connected, everything, post, statuses

LIMITS = HttpLimits(head_bytes=16 * 1024, head_fields=50, head_seconds=1.0, idle_seconds=1.0)
HOST = b"GET / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "head",
    [
        HOST + b"a:b\r\n" * 60 + b"\r\n",
        HOST + b"a: " + b"b" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        HOST + b"a:b\r\n" * 200_000,
        HOST + b"a: " + b"b" * 1_000_000,
        b"GET /" + b"a" * 1_000_000,
        b"G" * 1_000_000,
    ],
    ids=["fields", "whole value", "whole path", "unfinished fields", "unfinished value", "unfinished path", "a method"],
)
def test_a_head_beyond_a_limit_is_refused(head: bytes) -> None:
    with guarded(LIMITS) as served, connected(served.url) as connection:
        connection.sendall(head)
        answer = everything(connection)
    assert statuses(answer) == [431], answer[:300]
    assert served.refusals == [431]
    assert b"16384 bytes" in answer


def test_the_largest_head_that_is_allowed_is_served() -> None:
    fields = [f"a{number}: {'b' * 300}" for number in range(46)]
    with guarded(LIMITS) as served, connected(served.url) as connection:
        connection.sendall(post("Connection: close", *fields, body=b"12345"))
        assert everything(connection).endswith(b"\r\n\r\n5")


@pytest.mark.parametrize("sent", [b"", b"GET /", HOST, HOST + b"a: b\r\n"], ids=["nothing", "a path", "a field", "two"])
def test_a_head_that_does_not_come_ends_the_connection(sent: bytes) -> None:
    with guarded(LIMITS) as served, connected(served.url) as connection:
        connection.sendall(sent)
        assert everything(connection) == b""


def test_a_connection_between_two_requests_ends_too() -> None:
    with guarded(LIMITS) as served, connected(served.url) as connection:
        connection.sendall(post(body=b"12"))
        assert statuses(everything(connection)) == [200]


def test_blank_lines_before_a_request_win_no_time() -> None:
    with guarded(LIMITS) as served, connected(served.url) as connection:
        connection.sendall(post(body=b"12"))
        answer = b""
        while not answer.endswith(b"\r\n\r\n2"):  # head and body may come apart
            answer += connection.recv(65536)
        with contextlib.suppress(OSError):
            for _ in range(1000):
                connection.sendall(b"\r\n")
        assert everything(connection) == b""


def test_what_is_no_http_is_refused_with_a_sentence() -> None:
    with guarded(LIMITS) as served, connected(served.url) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        answer = everything(connection)
    assert statuses(answer) == [400], answer
    assert b"not valid HTTP" in answer


def test_a_broken_chunk_is_refused_where_nothing_was_answered() -> None:
    request = post("Transfer-Encoding: chunked", body=b"zz\r\nhello\r\n", length=False)
    with guarded(LIMITS) as served, connected(served.url) as connection:
        connection.sendall(request)
        assert statuses(everything(connection)) == [400]


def test_trailers_are_no_header_fields() -> None:
    body = b"5\r\n12345\r\n0\r\nX-Trailer: 1\r\nContent-Encoding: gzip\r\n\r\n"
    with guarded(LIMITS) as served, connected(served.url) as connection:
        connection.sendall(post("Transfer-Encoding: chunked", "Connection: close", body=body, length=False))
        assert everything(connection).endswith(b"5")
    assert not served.trailers_seen


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_body_with_two_lengths_is_refused_and_hides_no_request(version: str) -> None:
    """By one of them the second request is a part of the body of the first."""
    inner = b"0\r\n\r\nGET /info HTTP/1.1\r\nHost: x\r\n\r\n"
    request = post("Transfer-Encoding: chunked", body=inner).replace(b"HTTP/1.1", f"HTTP/{version}".encode(), 1)
    with guarded(LIMITS) as served, connected(served.url) as connection:
        connection.sendall(request)
        answer = everything(connection)
    assert statuses(answer) == [400], answer
    assert b"both Content-Length and Transfer-Encoding" in answer


@pytest.mark.parametrize("target", ["http://x/early?a=/b", "HTTPS://user@x:80/early", "http://[::1]:8080/early"])
def test_a_target_that_is_a_whole_url_is_its_path(target: str) -> None:
    with guarded(LIMITS) as served, connected(served.url) as connection:
        connection.sendall(post("Connection: close", body=b"", path=target))
        assert statuses(everything(connection)) == [413]


@pytest.mark.parametrize(("target", "status"), [("http://x/health/live", 200), ("http://x", 503)])
def test_a_probe_by_a_whole_url_is_one_in_the_reserve_too(target: str, status: int) -> None:
    with guarded(connections=1) as served, connected(served.url) as taken:
        taken.sendall(post(body=b""))
        assert taken.recv(4096).startswith(b"HTTP/1.1 200")
        with connected(served.url) as connection:
            connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert statuses(everything(connection)) == [status]
