"""Cross-origin resource sharing (the Fetch standard): which pages of other origins a browser lets call the service."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

ANY = "*"
# Headers of answers that a page may read, beside those that it always may.
EXPOSED = (
    "Retry-After, X-Request-Id, X-Warnings, X-Below-Min-Score, Server-Timing, Accept-Encoding, WWW-Authenticate, Allow"
)
_METHODS = "GET, POST"
_SECONDS_TO_KEEP = "600"  # a preflight's answer; Chromium keeps none for longer than two hours
_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, \t-]{0,4096}")

Headers = list[tuple[bytes, bytes]]


class CrossOrigin:
    """ASGI middleware that answers preflights and adds the headers by which a browser hands on an answer, refusals
    included: place it outside of the middlewares that refuse.

    `origins`: exact ones, or `*` for all. No credentials that a browser keeps are ever allowed; a key is a header that
    the page itself sends.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._any = ANY in origins
        self._origins = frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origin = _value(scope["headers"], b"origin")
        allowed = self._allowed(origin)
        if allowed and scope["method"] == "OPTIONS":
            wanted = _value(scope["headers"], b"access-control-request-method")
            if wanted is not None:
                await _answer_preflight(scope, send, [*allowed, *self._vary()])
                return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                exposed = [(b"access-control-expose-headers", EXPOSED.encode())] if allowed else []
                message = {**message, "headers": [*message.get("headers", ()), *allowed, *exposed, *self._vary()]}
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _allowed(self, origin: bytes | None) -> Headers:
        """The header that lets the page of this origin read the answer; [] for others."""
        if origin is None or not (self._any or origin in self._origins):
            return []
        return [(b"access-control-allow-origin", ANY.encode() if self._any else origin)]

    def _vary(self) -> Headers:
        """What keeps a cache from giving one origin's answer to another."""
        return [] if self._any else [(b"vary", b"Origin")]


async def _answer_preflight(scope: Scope, send: Send, headers: Headers) -> None:
    """Allows what is asked for: whether there is such a path and a key opens it, the call itself is told."""
    names = _value(scope["headers"], b"access-control-request-headers") or b""
    told = [
        *headers,
        (b"access-control-allow-methods", _METHODS.encode()),
        (b"access-control-max-age", _SECONDS_TO_KEEP.encode()),
    ]
    if names and _NAMES.fullmatch(names):
        told.append((b"access-control-allow-headers", names))
    await send({"type": "http.response.start", "status": 204, "headers": told})
    await send({"type": "http.response.body", "body": b""})


def _value(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> bytes | None:
    return next((value for name, value in headers if name == wanted), None)
