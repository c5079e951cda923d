"""uvicorn's HTTP protocol on h11, with bounds on what a caller can cost before its key is known.

Why h11 and not httptools: docs/decisions/0014. In short, h11 reads a request that offers an upgrade to its end, keeps
trailers apart from header fields, and bounds an unfinished head; httptools does none of these and cannot be made to.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import h11
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from service.http.bounded import BoundedConnection
from service.http.connections import Connections, Seat
from service.http.cross_origin import CrossOrigin
from service.http.limits import KIBIBYTE, HttpLimits, Refusal, Refuse
from service.http.transport import PatientTransport

_BUSY = "The server has as many connections as it takes; retry later."
_READING = (h11.SEND_BODY, h11.ERROR)
_ANSWERED = (h11.DONE, h11.MUST_CLOSE)
_MOST_DROPPED_IN_CHUNKS = 16 * KIBIBYTE  # of an answered request, while the connection may still be used again
_AUTHORITY = re.compile(r"https?://[^/?#]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Guard:
    """What one listener's connections share. `probe_paths` are answered also where connections run out; pages of
    `origins` may read that all else is refused then."""

    limits: HttpLimits
    connections: Connections
    refuse: Refuse
    probe_paths: frozenset[str]
    origins: Sequence[str] = ()


class GuardedConfig(uvicorn.Config):
    """uvicorn's settings for an app behind a `Guard`."""

    def __init__(self, app: ASGIApp, guard: Guard, **settings: Any) -> None:
        super().__init__(
            cast("Any", app),
            http=GuardedProtocol,
            ws="none",
            h11_max_incomplete_event_size=guard.limits.head_bytes,
            timeout_keep_alive=cast("Any", guard.limits.idle_seconds),
            **settings,
        )
        self.guard = guard


class GuardedProtocol(H11Protocol):
    """One connection. Heads, idle time, answers and the close are bounded by its listener's `Guard`."""

    def __init__(
        self,
        config: GuardedConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._guard = config.guard
        self._seat = Seat.NONE
        self._head_timer: asyncio.TimerHandle | None = None
        self._bounded = BoundedConnection(config.guard.limits, self._head_is_whole, self._request_is_whole)
        self.conn = self._bounded
        self.app = cast("Any", self._answered_app)
        self._served = config.loaded_app
        self._refusing: ASGIApp = partial(_refuse_request, config.guard.refuse)
        if config.guard.origins:
            self._refusing = CrossOrigin(self._refusing, config.guard.origins)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._patient = PatientTransport(transport, self._guard.limits, self._arrived_whole, self.loop)
        super().connection_made(cast("asyncio.Transport", self._patient))
        self._seat = self._guard.connections.take()
        limits = self._guard.limits
        match self._seat:
            case Seat.OPEN:
                self._start_head_timer(limits.head_seconds)
            case Seat.RESERVE:
                self._start_head_timer(limits.reserve_head_seconds)
                self._guard.connections.until_heard(self, self._make_room)
            case Seat.REFUSED:
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, _BUSY)
            case Seat.NONE:
                self._patient.abort()

    def data_received(self, data: bytes) -> None:
        if self._patient.lingering:
            self._patient.drop(len(data))
            return
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            # Blank lines before a request are passed over (RFC 9112, 2.2). h11 refuses them, and takes b"" for the end.
            data = data.lstrip(b"\r\n")
            if not data:
                return
        if self.conn.our_state is h11.DONE:  # the request was answered while its body was coming
            self._patient.drop(len(data))
            if self._bounded.in_chunks and self._patient.dropped > _MOST_DROPPED_IN_CHUNKS:
                self.transport.close()  # what still comes is dropped unread: reading chunks costs far more
                return
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and self._head_timer is None and not self.transport.is_closing():
            self._start_head_timer(self._guard.limits.head_seconds)

    def on_response_complete(self) -> None:
        """Of a request that was answered before its body had come, the rest is dropped: so much, for so long."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self._patient.expect_end()

    def eof_received(self) -> None:
        self._patient.ended()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._unset_keepalive_if_required()
        self._patient.lost()
        self._guard.connections.heard(self)
        self._guard.connections.give_back(self._seat)
        self._seat = Seat.NONE
        super().connection_lost(exc)

    def _should_upgrade(self) -> bool:
        """No: HTTP allows a server to pass over an offer, and then the request is served as it stands."""
        return False

    def send_400_response(self, msg: str) -> None:
        """Answer what h11 could not read, unless an answer has begun already: then all that is left is to close."""
        if self.conn.our_state in _ANSWERED:  # the rest of a body whose request was answered
            self.transport.close()
            return
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started:
                self._patient.abort()
                return
            cycle.disconnected = True  # for the app the client has left
            cycle.message_event.set()
        self._answer(*self._bounded.refused)

    async def _answered_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The app. Its last `send` returns once the answer has been taken, so that what it holds counts until then."""
        _to_origin_form(scope)
        refused = self._seat is Seat.RESERVE and scope["path"] not in self._guard.probe_paths
        app = self._refusing if refused else cast("ASGIApp", self._served)

        async def send_and_wait(message: Message) -> None:
            if self._seat is Seat.RESERVE and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                await self.flow.drain()

        await app(scope, receive, send_and_wait)

    def _answer(self, status: HTTPStatus, sentence: str) -> None:
        """An answer of our own, then the close."""
        self._patient.write(_response(status, self._guard.refuse(status, sentence)))
        self.transport.close()

    def _arrived_whole(self) -> bool:
        waiting = self.conn.trailing_data[0]
        return self._seat is not Seat.REFUSED and self.conn.their_state not in _READING and not waiting

    def _start_head_timer(self, seconds: float) -> None:
        self._head_timer = self.loop.call_later(seconds, self._head_is_late)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_whole(self) -> None:
        self._stop_head_timer()
        self._guard.connections.heard(self)

    def _make_room(self) -> None:
        """Leave the reserve to a connection that is newer."""
        self._stop_head_timer()
        self._seat = self._guard.connections.step_down()
        if self._seat is Seat.REFUSED:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, _BUSY)
        else:
            self._patient.abort()

    def _request_is_whole(self) -> None:
        self._patient.arrived()

    def _head_is_late(self) -> None:
        """A head that did not come in time. Nothing was asked, so there is nothing to answer."""
        self._head_timer = None
        if not self.transport.is_closing():
            self._patient.abort()


def _to_origin_form(scope: Scope) -> None:
    """Takes scheme and authority off a target that is a whole URL, as requests to a proxy have: a server has to serve
    these too (RFC 9112, 3.2.2)."""
    if scope["type"] == "http" and (whole := _AUTHORITY.match(scope["path"])):
        scope["path"] = scope["path"][whole.end() :] or "/"
        scope["raw_path"] = _AUTHORITY.sub("", scope["raw_path"].decode("ascii"), count=1).encode("ascii") or b"/"


def _fields(refusal: Refusal) -> list[tuple[bytes, bytes]]:
    """The header fields of an answer that ends its connection."""
    return [*refusal.headers, _length(refusal), (b"connection", b"close")]


def _length(refusal: Refusal) -> tuple[bytes, bytes]:
    return b"content-length", str(len(refusal.body)).encode()


def _response(status: HTTPStatus, refusal: Refusal) -> bytes:
    fields = [name + b": " + value for name, value in _fields(refusal)]
    lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode(), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + refusal.body


async def _refuse_request(refuse: Refuse, scope: Scope, receive: Receive, send: Send) -> None:
    refusal = refuse(HTTPStatus.SERVICE_UNAVAILABLE, _BUSY)
    headers = [*refusal.headers, _length(refusal)]
    await send({"type": "http.response.start", "status": HTTPStatus.SERVICE_UNAVAILABLE, "headers": headers})
    await send({"type": "http.response.body", "body": refusal.body})
