"""A connection of its own to the service, for callers that do not behave as an HTTP client does."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit


def connect(host: str, timeout: float = 10.0) -> socket.socket:
    """A connected socket to the URL `host`, TLS where it says https. Raise OSError."""
    parts = urlsplit(host)
    plain = socket.create_connection((parts.hostname, parts.port or {"https": 443}.get(parts.scheme, 80)), timeout)
    if parts.scheme != "https":
        return plain
    return ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname)


def request(host: str, body: bytes, headers: Mapping[str, str], length: int | None = None) -> bytes:
    """The bytes of a POST to /rerank; `length` is what it says its body has, where that is not the truth."""
    parts = urlsplit(host)
    lines = [
        f"POST {parts.path}/rerank HTTP/1.1",
        f"Host: {parts.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(body) if length is None else length}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
