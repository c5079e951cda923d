"""Request bodies: reading one, bounded in bytes and in time, and parsing it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.types import Receive

from service.errors import BadRequest, BodyTooLarge, BodyTooSlow, ClientLeft
from service.http.unpacking import Unpacker, unpacker_of
from service.wire.fields import json_kind
from service.wire.structure import is_heavy

Reserve = Callable[[int], None]
"""Reserves bytes before they are kept; raises Unavailable when there is no room for them."""

_SMALL_BYTES = 1 << 18  # are weighed at once, in less than a millisecond; larger ones in a thread
_IDLE_SECONDS = 10.0  # a body that stands still for so long is given up
# Names of JavaScript that some JSON writers put where JSON has no value.
_NOT_JSON = ("NaN", "Infinity")


async def read_body(
    headers: Headers,
    receive: Receive,
    *,
    limit: int,
    seconds: float,
    idle_seconds: float = _IDLE_SECONDS,
    reserve: Reserve = lambda _: None,
) -> tuple[bytes, float]:
    """Returns the whole body and the `time.monotonic()` instant of its last byte.

    Bytes are reserved as they come, and a compressed body is unpacked meanwhile: its `limit` and what it reserves are
    those of what it unpacks to. The content type is ignored (curl's default is that of a form): whatever parses as
    JSON is accepted.
    Raises UnsupportedMedia for an encoding that is not known, BadRequest for data that are not as it says, BodyTooLarge
    past `limit` bytes (by Content-Length before a byte is read, else while reading), BodyTooSlow after `seconds` or
    after `idle_seconds` without a byte, ClientLeft when the connection closes halfway.
    """
    unpacker = None
    if "content-encoding" in headers:
        unpacker = unpacker_of(",".join(headers.getlist("content-encoding")))
    length = headers.get("content-length", "")
    announced = int(length[:20]) if length.isdecimal() else 0
    if announced > limit:
        raise _too_large(limit)
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    try:
        async with asyncio.timeout_at(end) as timeout:
            arrived = _Arrived(limit, reserve, lambda: timeout.reschedule(min(end, clock() + idle_seconds)))
            await (arrived.read(receive) if unpacker is None else arrived.unpack(receive, unpacker))
    except TimeoutError:
        raise BodyTooSlow(
            f"The request body did not arrive within {seconds:g} seconds, or stood still for {idle_seconds:g}; send it "
            "faster."
        ) from None
    return arrived.content, time.monotonic()


class BodyParser:
    """Parses bodies, of which at most one at a time has very many values."""

    def __init__(self, prune: Callable[[bytes], Any]) -> None:
        """`prune` reads a body of very many values, in a thread."""
        self._prune = prune
        self._pruning = asyncio.Lock()

    async def parse(self, content: bytes) -> dict[str, Any]:
        """As `parse_object`, but what is not read of a body of very many values may be left out."""
        small = len(content) < _SMALL_BYTES
        if not (is_heavy(content) if small else await asyncio.to_thread(is_heavy, content)):
            return parse_object(content)
        async with self._pruning:
            return await asyncio.to_thread(_parse, content, self._prune)


def parse_object(content: bytes) -> dict[str, Any]:
    """Parses a JSON object. Of a repeated key the last value counts; raises BadRequest with the position of a fault.

    Runs on the event loop: orjson holds the interpreter lock, so a thread would block the loop just the same.
    16 MiB of documents take 20 to 45 ms.
    """
    with _paused_garbage_collection():
        return _parse(content, orjson.loads)


def _parse(content: bytes, parse: Callable[[bytes], Any]) -> dict[str, Any]:
    if not content:
        raise BadRequest(
            'The request body is empty; send a JSON object such as {"query": "...", "documents": ["..."]}.'
        )
    try:
        value = parse(content)
    except orjson.JSONDecodeError as error:
        raise BadRequest(_sentence(error)) from None
    if not isinstance(value, dict):
        raise BadRequest(f"The request body must be a JSON object, got {json_kind(value)}.")
    return value


class _Arrived:
    """What has come of a body. `progressed` is called whenever more of it may come."""

    def __init__(self, limit: int, reserve: Reserve, progressed: Callable[[], None]) -> None:
        self._limit = limit
        self._reserve = reserve
        self._progressed = progressed
        self._chunks: list[bytes] = []
        self._size = 0

    @property
    def content(self) -> bytes:
        return b"".join(self._chunks)

    async def read(self, receive: Receive) -> None:
        more = True
        while more:
            chunk, more = await self._next(receive)
            self._keep(chunk)

    async def unpack(self, receive: Receive, unpacker: Unpacker) -> None:
        """As `read`, for a compressed body."""
        more, packed = True, 0
        while more:
            chunk, more = await self._next(receive)
            packed += len(chunk)
            if packed > self._limit:  # there are bytes that unpack to nothing
                raise _too_large(self._limit)
            for piece in unpacker.feed(chunk):
                self._keep(piece)
                await asyncio.sleep(0)  # a few bytes may stand for very many, and other calls wait
        unpacker.finish()

    async def _next(self, receive: Receive) -> tuple[bytes, bool]:
        """The next bytes, and whether more will come."""
        self._progressed()
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft("The client closed the connection before the request body was complete.")
        return message.get("body", b""), message.get("more_body", False)

    def _keep(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._limit:
            raise _too_large(self._limit)
        if chunk:
            self._reserve(len(chunk))
            self._chunks.append(chunk)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request body is larger than the limit of {limit} bytes; send fewer or shorter documents.")


@contextmanager
def _paused_garbage_collection() -> Iterator[None]:
    """Keeps the collector from walking the heap again and again while a body of many small values is built.

    Nothing else runs meanwhile, so nothing else is affected.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _sentence(error: orjson.JSONDecodeError) -> str:
    where = f"line {error.lineno}, column {error.colno}"
    if error.doc[error.pos : error.pos + 8].startswith(_NOT_JSON):
        return f"The request body is not valid JSON: JSON has no NaN or Infinity ({where})."
    return f"The request body is not valid JSON: {error.msg} ({where})."
