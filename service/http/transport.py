"""A transport that closes without losing the answer, and that gives up on a client that reads nothing.

Closing a socket while unread bytes lie in its receive buffer makes the kernel send a reset, and a reset makes the
client's kernel drop the answer it has received and not yet read. So a connection whose request has not arrived whole is
closed in steps: the sending half first, then what still arrives is read and dropped, within bounds, then the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from service.http.limits import HttpLimits


class PatientTransport:
    """Stands for `transport`. `arrived_whole` tells whether everything that the client sends has been read."""

    def __init__(
        self,
        transport: asyncio.Transport,
        limits: HttpLimits,
        arrived_whole: Callable[[], bool],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._transport = transport
        self._limits = limits
        self._arrived_whole = arrived_whole
        self._loop = loop
        self.dropped = 0
        self._unsent = 0
        self._end: asyncio.TimerHandle | None = None
        self._write_check: asyncio.TimerHandle | None = None
        self.lingering = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self.lingering or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        if self.lingering:
            return
        self._transport.write(data)
        self._watch_writing()

    def close(self) -> None:
        """Close at once where the request has arrived whole, else after what is still coming has been dropped."""
        if self.is_closing():
            return
        if self._arrived_whole():
            self._transport.close()
            return
        self.lingering = True
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._transport.resume_reading()
        self.expect_end()

    def expect_end(self) -> None:
        """What is still coming of an answered request is dropped; when it takes too long the connection ends."""
        if self._end is None:
            self._end = self._loop.call_later(self._limits.drain_seconds, self._transport.close)

    def arrived(self) -> None:
        """The request has arrived whole."""
        self.dropped = 0
        if self._end is not None and not self.lingering:
            self._end.cancel()
            self._end = None

    def drop(self, size: int) -> None:
        """`size` more bytes came that nobody wants; too many end the connection."""
        self.dropped += size
        if self.dropped > self._limits.drain_bytes:
            self._transport.close()

    def ended(self) -> None:
        """The client sends no more."""
        if self.lingering:
            self._transport.close()

    def lost(self) -> None:
        """The connection is gone."""
        for timer in (self._end, self._write_check):
            if timer is not None:
                timer.cancel()

    def _watch_writing(self) -> None:
        """Look at the bytes that wait to be sent until there are none; end a connection on which none leaves."""
        if self._write_check is None and (unsent := self._transport.get_write_buffer_size()):
            self._unsent = unsent
            self._write_check = self._loop.call_later(self._limits.write_seconds, self._check_writing)

    def _check_writing(self) -> None:
        self._write_check = None
        unsent = self._transport.get_write_buffer_size()
        if unsent and unsent >= self._unsent:
            self._transport.abort()
        elif unsent:
            self._watch_writing()
