"""Reading a body from ASGI messages: limits in bytes and in time, and the sentences for what is not JSON."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterable

import pytest
from starlette.datastructures import Headers
from starlette.types import Message, Receive

from service.api.body import parse_object, read_body
from service.errors import BadRequest, BodyTooLarge, BodyTooSlow, ClientLeft, UnsupportedMedia
from tests.scripted_time import now, scripted_time


def receiving(*chunks: bytes | None) -> Receive:
    """A client that sends `chunks`, the last one marked as such; None: it leaves."""
    messages: list[Message] = [
        {"type": "http.disconnect"} if chunk is None else {"type": "http.request", "body": chunk, "more_body": True}
        for chunk in chunks
    ]
    messages[-1]["more_body"] = False
    pending = iter(messages)

    async def receive() -> Message:
        for message in pending:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    return receive


async def read(receive: Receive, headers: Iterable[tuple[str, str]] = (), limit: int = 10) -> bytes:
    content, _ = await read_body(Headers(dict(headers)), receive, limit=limit, seconds=0.1)
    return content


async def test_chunks_are_joined_up_to_the_limit() -> None:
    assert await read(receiving(b"12345", b"", b"67890")) == b"1234567890"


async def test_the_instant_is_that_of_the_last_byte() -> None:
    before = time.monotonic()
    _, received = await read_body(Headers({}), receiving(b"1"), limit=10, seconds=1)
    assert before <= received <= time.monotonic()


async def test_past_the_limit_reading_stops() -> None:
    with pytest.raises(BodyTooLarge, match="limit of 10 bytes"):
        await read(receiving(b"12345", b"678901", None))


async def test_a_declared_length_past_the_limit_is_refused_unread() -> None:
    async def receive() -> Message:
        raise AssertionError("nothing must be read")

    for length in ("11", "9" * 400):
        with pytest.raises(BodyTooLarge):
            await read(receive, [("content-length", length)])


async def test_a_false_length_is_no_way_around_the_limit() -> None:
    for length in ("5", "abc", "-1", "\u00b2", ""):
        with pytest.raises(BodyTooLarge):
            await read(receiving(b"12345678901"), [("content-length", length)])


@scripted_time
async def test_a_body_that_never_ends_is_given_up() -> None:
    async def receive() -> Message:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"", "more_body": True}

    begun = now()
    with pytest.raises(BodyTooSlow, match=r"within 0\.1 seconds"):
        await read(receive)
    assert now() - begun == pytest.approx(0.1)


async def test_a_client_that_leaves_halfway() -> None:
    with pytest.raises(ClientLeft):
        await read(receiving(b"123", None))


@pytest.mark.parametrize("encoding", ["br", "compress", "gzip, gzip", "gzip, br", "BR", "x", "g" * 999, "gzip;q=1"])
async def test_bodies_compressed_in_other_ways_are_refused(encoding: str) -> None:
    with pytest.raises(UnsupportedMedia, match="gzip, deflate, zstd, or uncompressed"):
        await read(receiving(b"1"), [("content-encoding", encoding)])
    several = Headers(raw=[(b"content-encoding", name.encode()) for name in ("identity", *encoding.split(", "))])
    with pytest.raises(UnsupportedMedia):
        await read_body(several, receiving(b"1"), limit=10, seconds=0.1)


@pytest.mark.parametrize("encoding", ["identity", "Identity", "", "identity, identity", ","])
async def test_identity_is_no_compression(encoding: str) -> None:
    assert await read(receiving(b"1"), [("content-encoding", encoding)]) == b"1"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": NaN}', "The request body is not valid JSON: JSON has no NaN or Infinity (line 1, column 7)."),
        ('{"é":\n"ü", "b": -Infinity}'.encode(), "JSON has no NaN or Infinity (line 2, column 12)."),
        (b"[1]", "The request body must be a JSON object, got a list."),
        (b"true", "The request body must be a JSON object, got a boolean."),
        (b"", "The request body is empty; send a JSON object"),
    ],
)
def test_what_is_said_of_what_is_no_object(content: bytes, message: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_object(content)
    assert message in refused.value.message


def test_the_last_of_repeated_keys_counts() -> None:
    assert parse_object(b'{"a": 1, "a": 2}') == {"a": 2}


def test_the_collector_runs_again_after_good_and_bad_bodies() -> None:
    parse_object(b"{}")
    assert gc.isenabled()
    with pytest.raises(BadRequest):
        parse_object(b"{")
    assert gc.isenabled()
