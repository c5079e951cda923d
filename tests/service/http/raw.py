"""Bytes to and from a server, without an HTTP client in between."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.waiting import PATIENCE

BODY = json.dumps({"query": "gout", "documents": ["gout hurts", "bread"]}).encode()


@contextmanager
def connected(url: str, seconds: float = PATIENCE) -> Iterator[socket.socket]:
    """A connection to the server at `url`, whose operations take at most `seconds`."""
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    with socket.create_connection((address.hostname, address.port), timeout=seconds) as connection:
        yield connection


def post(*fields: str, body: bytes = BODY, path: str = "/rerank", length: bool = True) -> bytes:
    """A request with `fields` beside Host and, where `length`, Content-Length."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", *fields]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def everything(connection: socket.socket) -> bytes:
    """All that the server sends until it closes the connection. A reset counts as a close."""
    received = bytearray()
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return bytes(received)


def statuses(answer: bytes) -> list[int]:
    """The statuses of all answers in `answer`, in their order."""
    return [int(part[1:4]) for part in answer.split(b"HTTP/1.1")[1:]]
