"""Bodies in chunks: each chunk costs the server some microseconds in which no other connection is served."""

from __future__ import annotations

import contextlib
import json

import h11
import httpx
import pytest

from service.http.bounded import BoundedConnection
from service.http.limits import HttpLimits
from tests.service.http.guarded import guarded
from tests.service.http.raw import connected, everything, post, statuses

TINY = b"1\r\n \r\n"
OPEN = post("Transfer-Encoding: chunked", body=b"", length=False)
EARLY = post("Transfer-Encoding: chunked", path="/early", body=b"", length=False)


@pytest.fixture
def chunks_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the chunks that servers of this process have read."""
    read, next_event = [], BoundedConnection.next_event

    def counted(connection: BoundedConnection) -> object:
        event = next_event(connection)
        if isinstance(event, h11.Data):
            read.append(len(event.data))
        return event

    monkeypatch.setattr(BoundedConnection, "next_event", counted)
    return read


@pytest.mark.parametrize("chunk", [TINY, b"1;a=b\r\n \r\n", b"0002\r\n  \r\n"], ids=["short", "extended", "two bytes"])
def test_very_many_tiny_chunks_are_refused(chunk: bytes, chunks_read: list[int]) -> None:
    with guarded() as served, connected(served.url) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(OPEN + chunk * 200_000)
        answer = everything(connection)
    assert statuses(answer) == [400], answer
    assert b"send it in larger ones" in answer
    assert len(chunks_read) <= HttpLimits().chunks


def test_of_an_answered_request_hardly_a_chunk_is_read(chunks_read: list[int]) -> None:
    """No key is needed for such an answer."""
    with guarded() as served, connected(served.url) as connection:
        connection.sendall(EARLY)
        answer = connection.recv(4096)
        with contextlib.suppress(OSError):
            for _ in range(20):
                connection.sendall((b"40\r\n" + b" " * 64 + b"\r\n") * 10_000)
        answer += everything(connection)
    assert statuses(answer) == [413], answer
    assert len(chunks_read) < 10_000


@pytest.mark.parametrize("rest", [b"zz\r\n", b"-1\r\n", TINY * 20_000], ids=["no size", "negative", "tiny"])
def test_what_is_wrong_with_the_rest_of_an_answered_request_gets_no_second_answer(rest: bytes) -> None:
    with guarded() as served, connected(served.url) as connection:
        connection.sendall(EARLY + TINY)
        answer = connection.recv(4096)
        with contextlib.suppress(OSError):
            connection.sendall(rest)
        answer += everything(connection)
    assert statuses(answer) == [413], answer


def test_a_client_that_writes_json_as_it_makes_it_is_served() -> None:
    body = {"query": "gout", "documents": [{"text": f"a document of some words, number {n}"} for n in range(1000)]}
    pieces = [piece.encode() for piece in json.JSONEncoder().iterencode(body)]
    assert len(pieces) > 5000
    with guarded() as served:
        response = httpx.post(served.url, content=iter(pieces))
    assert (response.status_code, int(response.text)) == (200, sum(map(len, pieces)))
