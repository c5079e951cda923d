"""Bodies in chunks: each chunk costs the server some microseconds in which no other connection is served."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from itertools import accumulate, pairwise

import h11
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.bounded import BoundedConnection
from service.http.chunks import AT_ONCE
from service.http.limits import HttpLimits
from tests.service.http.guarded import guarded
from tests.service.http.raw import connected, everything, post, statuses

TINY = b"1\r\n \r\n"
OPEN = post("Transfer-Encoding: chunked", body=b"", length=False)
EARLY = post("Transfer-Encoding: chunked", path="/early", body=b"", length=False)


@pytest.fixture
def chunks_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes servers of this process have read of chunks, at each event."""
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
    assert sum(chunks_read) <= chunk.count(b" ") * (HttpLimits().chunks + AT_ONCE)


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
    assert sum(chunks_read) < 64 * 10_000


@pytest.mark.parametrize("rest", [b"zz\r\n", b"-1\r\n", TINY * 20_000], ids=["no size", "negative", "tiny"])
def test_what_is_wrong_with_the_rest_of_an_answered_request_gets_no_second_answer(rest: bytes) -> None:
    with guarded() as served, connected(served.url) as connection:
        connection.sendall(EARLY + TINY)
        answer = connection.recv(4096)
        with contextlib.suppress(OSError):
            connection.sendall(rest)
        answer += everything(connection)
    assert statuses(answer) == [413], answer


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
SIZES = st.sampled_from(["%x", "%X", "%04x", "%x;a=b", "%x ", "%x;", "0x%x", "-%x", "+%x", "%xg", " %x", "%x_0"])
CONTENT = st.binary(min_size=1, max_size=20) | st.sampled_from([b"\r\n", b"0\r\n\r\n", b"1\r\n \r\n", b"a" * 5000])
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"", b"\r\r", b"x\r\n"])
CHUNK = st.builds(lambda size, data, end: (size % len(data)).encode() + b"\r\n" + data + end, SIZES, CONTENT, ENDS)
PLAIN = st.builds(lambda data: b"%x\r\n%b\r\n" % (len(data), data), CONTENT)
LAST = st.sampled_from([b"0\r\n\r\n", b"0\r\nx: y\r\n\r\n", b"00\r\n\r\nGET / HTTP/1.1\r\n", b"", b"0\r\n"])


def events(connection: h11.Connection, pieces: Sequence[bytes]) -> tuple[bytes, list[str], bytes]:
    """The body, what else came in its order, and what was left unread."""
    body, came = b"", list[str]()
    for piece in pieces:
        connection.receive_data(piece)
        event: object = None
        while event is not h11.NEED_DATA and event is not h11.PAUSED:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError:
                return body, [*came, "refused"], b""
            if isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                came.append(f"end {list(event.headers)}")
    return body, came, connection.trailing_data[0]


@given(st.lists(PLAIN | PLAIN | PLAIN | CHUNK, max_size=40), LAST, st.lists(st.integers(1, 400), max_size=30))
def test_chunks_that_are_joined_are_read_as_h11_reads_them(chunks: list[bytes], last: bytes, cuts: list[int]) -> None:
    wire = HEAD + b"".join(chunks) + last
    ends = [*(end for end in accumulate(cuts) if end < len(wire)), len(wire)]
    pieces = [wire[begin:end] for begin, end in pairwise([0, *ends])]
    bounded = BoundedConnection(HttpLimits(), lambda: None, lambda: None)
    assert events(bounded, pieces) == events(h11.Connection(h11.SERVER), pieces)


def test_whole_chunks_come_in_one_event() -> None:
    connection = BoundedConnection(HttpLimits(), lambda: None, lambda: None)
    connection.receive_data(HEAD + TINY * 1000 + b"5\r\nhel")
    connection.next_event()
    joined, begun = connection.next_event(), connection.next_event()
    assert (joined.data, begun.data) == (b" " * 1000, b"hel")
    connection.receive_data(b"lo\r\n0\r\n\r\n")
    assert connection.next_event().data == b"lo"
    assert isinstance(connection.next_event(), h11.EndOfMessage)


def test_a_client_that_writes_json_as_it_makes_it_is_served() -> None:
    body = {"query": "gout", "documents": [{"text": f"a document of some words, number {n}"} for n in range(1000)]}
    pieces = [piece.encode() for piece in json.JSONEncoder().iterencode(body)]
    assert len(pieces) > 5000
    with guarded() as served:
        response = httpx.post(served.url, content=iter(pieces))
    assert (response.status_code, int(response.text)) == (200, sum(map(len, pieces)))
