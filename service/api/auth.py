"""Checks keys: every path except the probes and the static pages needs one, known and unknown paths alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.context import request_context
from service.api.paths import PROBE_PATHS, route_path
from service.errors import Unauthorized
from service.ranking import ANONYMOUS, Key
from service.telemetry.metrics import Metrics
from service.wire.shape import error_body

# Longer than any key in a key file; longer headers are refused unread.
MAX_AUTHORIZATION_BYTES = 4096


class Keyring(Protocol):
    """The source of keys."""

    async def refresh(self) -> None:
        """Picks up changed keys. Awaited for every request that needs a key, so it must be cheap."""

    def look(self) -> None:
        """Has changed keys picked up soon. Called for every probe, which waits for nothing."""

    def find(self, token: bytes) -> Key | None:
        """Returns the key that this secret opens, in time that does not depend on which one it is."""


def token_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Returns the secret in the one Authorization header; None if there are several or it is malformed.

    Accepts `Bearer <token>` and, because llama-index's TEI client sends its token unadorned, a bare `<token>`.
    """
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) != 1 or len(values[0]) > MAX_AUTHORIZATION_BYTES:
        return None
    match values[0].split():
        case [token] if token.lower() != b"bearer":
            return token
        case [scheme, token] if scheme.lower() == b"bearer":
            return token
        case _:
            return None


def _nothing_else(method: str, path: str) -> bool:
    return False


class AuthMiddleware:
    """Sets `RequestContext.key` and lets the request through, or answers 401.

    Without a `keyring` every caller has the key `anonymous`. `is_open(method, path)` tells what needs no key beside the
    probes.
    """

    def __init__(
        self,
        app: ASGIApp,
        keyring: Keyring | None,
        metrics: Metrics,
        *,
        anonymous: Key = ANONYMOUS,
        is_open: Callable[[str, str], bool] = _nothing_else,
    ) -> None:
        self._app = app
        self._is_open = is_open
        self._keyring = keyring
        self._metrics = metrics
        self._anonymous = anonymous

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        key = await self._key(scope)
        if key is not None:
            request_context(scope).key = key
            await self._app(scope, receive, send)
            return
        self._metrics.rejected.labels("auth").inc()
        await _refuse(scope, send)

    async def _key(self, scope: Scope) -> Key | None:
        if self._keyring is None:
            return self._anonymous
        if scope["type"] == "http":
            path = route_path(scope)
            if path in PROBE_PATHS or self._is_open(scope["method"], path):
                self._keyring.look()
                return ANONYMOUS
        await self._keyring.refresh()
        token = token_of(scope["headers"])
        return None if token is None else self._keyring.find(token)


async def _refuse(scope: Scope, send: Send) -> None:
    """Answers 401; closes a websocket whose server lacks the extension for such answers, which servers turn into 403.

    The body of a caller without a key is never read, so its shape is unknown: the answer is the superset.
    """
    kind = "http"
    if scope["type"] == "websocket":
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008})
            return
        kind = "websocket.http"
    context = request_context(scope)
    context.error = error = Unauthorized("A valid key is needed: send it as 'Authorization: Bearer <key>'.")
    status, fields = error_body(error, None, context.request_id)
    body = orjson.dumps(fields)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", b"Bearer"),
    ]
    await send({"type": f"{kind}.response.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.response.body", "body": body})
