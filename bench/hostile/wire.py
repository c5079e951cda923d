"""Raw bytes to and from a server under attack, without an HTTP client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

MEBIBYTE = 1024 * 1024
_WORDS = "the of and river bank water stone history science market energy light cell engine music garden city winter"
_PATIENCE_SECONDS = 120.0  # longest wait for an answer; large calls may be refused earlier


@dataclass(frozen=True, slots=True)
class Target:
    """The server that is attacked. `small` and `bulk`: secrets of keys with a limit, which the attackers hold;
    `connections`: as many as it takes; `metrics`: the port of its metrics."""

    host: str
    port: int
    small: str
    bulk: str
    connections: int
    metrics: int


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes, piece: int = 256 * 1024) -> None:
        """Sends in chunks. Raises ConnectionError when the server has closed."""
        for begin in range(0, len(data), piece):
            self._writer.write(data[begin : begin + piece])
            await self._writer.drain()

    async def status(self, seconds: float = _PATIENCE_SECONDS) -> str:
        """The status of the next answer, whose body is read too; `closed`, `reset` or `silent` when none comes."""
        try:
            async with asyncio.timeout(seconds):
                head = await self._reader.readuntil(b"\r\n\r\n")
                status = head[9:12].decode("ascii", "replace")
                if status != "100":
                    await self._reader.readexactly(_length(head))
                return status
        except TimeoutError:
            return "silent"
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return "closed"
        except ConnectionError:
            return "reset"

    async def rest(self, seconds: float = 2.0) -> bytes:
        """Everything else the server sends until it closes."""
        try:
            async with asyncio.timeout(seconds):
                return await self._reader.read()
        except (TimeoutError, ConnectionError):
            return b""

    async def answer_to(self, request: bytes) -> str:
        """The status of the answer to a request that the server may refuse before reading all of it."""
        with contextlib.suppress(ConnectionError):  # the answer may have arrived anyway
            await self.send(request)
        return await self.status()

    def abort(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def wire(target: Target, receive_buffer: int | None = None, *, port: int | None = None) -> AsyncIterator[Wire]:
    """A connection to the target. `receive_buffer`: bytes that the kernel takes for one who does not read; `port`: one
    of its others."""
    raw = socket.socket()
    raw.setblocking(False)
    if receive_buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        await asyncio.get_running_loop().sock_connect(raw, (target.host, port or target.port))
        limit = 1024 if receive_buffer is not None else 2**17
        made = Wire(*await asyncio.open_connection(sock=raw, limit=limit))
    except BaseException:
        raw.close()
        raise
    try:
        yield made
    finally:
        made.abort()


def head(*fields: str, path: str = "/rerank", key: str | None = None, length: int | None = None) -> bytes:
    """The head of a POST with extra header fields."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", *fields]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


def post(body: bytes, *fields: str, key: str | None = None) -> bytes:
    """A complete request."""
    return head(*fields, key=key, length=len(body)) + body


def chunks(body: bytes, *trailers: str, end: bool = True) -> bytes:
    """A body in one chunk, with the fields given behind it; without `end` it is not over."""
    content = f"{len(body):x}\r\n".encode() + body + b"\r\n"
    return content + "\r\n".join(["0", *trailers, "", ""]).encode() if end else content


def passages(count: int, words: int, seed: int) -> list[str]:
    """Texts of one-token words."""
    choose = random.Random(seed).choices
    return [" ".join(choose(_WORDS.split(), k=words)) for _ in range(count)]


def call(documents: Sequence[Any], query: str = "what moves water", **more: Any) -> bytes:
    """A body in Cohere's shape."""
    return json.dumps({"query": query, "documents": documents, **more}).encode()


def _length(head_bytes: bytes) -> int:
    for line in head_bytes.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0
