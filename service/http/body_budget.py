"""Bounds the bytes of all request bodies held at once, fairly among keys. Runs on one event loop.

A body counts from its first byte until its answer has been sent, with what has come of it and not with what it
announces: an announcement costs a caller nothing. So room can run out while bodies are half read. Then the newest
unfinished body of the key that holds the most is refused, which lets the oldest ones finish, and no key can keep the
room of another with bodies that it never finishes.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.errors import ServiceError, Unavailable

_RETRY_AFTER_SECONDS = 2.0
_SHARE = 0.5  # of the room that the bodies of one key may take where there are several keys


class BodyHold:
    """What one body holds. `reserve` is called for each piece before it is kept, `finish` once the body is whole,
    `release` once the answer has been sent."""

    def __init__(self, budget: BodyBudget, key: str) -> None:
        self._budget = budget
        self.key = key
        self.bytes = 0
        self._reader: asyncio.Task[object] | None = None
        self._refusal: ServiceError | None = None

    def reserve(self, size: int) -> None:
        """Raises Unavailable when there is no room for `size` more bytes and no newer body to take it from."""
        self._budget.reserve(self, size)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Surrounds the reading of the body. Raises the error with which the body was refused meanwhile."""
        self._reader = asyncio.current_task()
        try:
            yield
        except asyncio.CancelledError:
            if self._refusal is None or self._reader is None:
                raise
            self._reader.uncancel()
            raise self._refusal from None
        finally:
            self._reader = None
            self._budget.finished(self)

    def refuse(self, error: ServiceError) -> None:
        """Ends the reading of the body with `error`."""
        if self._reader is not None and self._refusal is None:
            self._refusal = error
            self._reader.cancel()

    def release(self) -> None:
        self._budget.release(self)


class BodyBudget:
    """At most `limit` bytes of bodies. `several_keys`: callers are told apart, and one may hold only its share, though
    always a body of `largest` bytes. `emptied` is called whenever no body is held any more, with the bytes of those
    that were."""

    def __init__(
        self,
        limit: int,
        *,
        largest: int = 0,
        several_keys: bool = False,
        emptied: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._limit = limit
        self._most_of_a_key = max(largest, int(limit * _SHARE)) if several_keys else math.inf
        self._by_key: Counter[str] = Counter()
        self._arriving: dict[BodyHold, None] = {}  # in the order in which they began
        self._unanswered: dict[BodyHold, None] = {}
        self._closed: Callable[[], ServiceError] | None = None
        self._waiting_for_idle: list[asyncio.Future[None]] = []
        self._emptied = emptied
        self._gone = 0
        self.bytes = 0

    @property
    def arriving(self) -> int:
        """Bodies that are not whole yet."""
        return len(self._arriving)

    @property
    def unanswered(self) -> int:
        """Bodies whose call has not been answered yet, or whose answer is still being sent."""
        return len(self._unanswered)

    def hold(self, key: str) -> BodyHold:
        """The holding of a new body of the key named `key`. Raises what `close` was given."""
        if self._closed is not None:
            raise self._closed()
        hold = BodyHold(self, key)
        self._arriving[hold] = self._unanswered[hold] = None
        return hold

    def close(self, refusal: Callable[[], ServiceError]) -> None:
        """Takes no new body from now on."""
        self._closed = refusal

    def reserve(self, hold: BodyHold, size: int) -> None:
        """See `BodyHold.reserve`."""
        while self._by_key[hold.key] + size > self._most_of_a_key:
            own = [other for other in self._arriving if other.key == hold.key]
            self._make_room(hold, own, f"one key may hold {self._most_of_a_key} in all")
        while self.bytes + size > self._limit:
            self._make_room(hold, list(self._arriving), f"takes {self._limit} in all")
        hold.bytes += size
        self.bytes += size
        self._by_key[hold.key] += size

    def finished(self, hold: BodyHold) -> None:
        """Its body is whole, or is read no further."""
        self._arriving.pop(hold, None)

    def release(self, hold: BodyHold) -> None:
        """See `BodyHold.release`."""
        self._give_back(hold)
        self._unanswered.pop(hold, None)
        if not self._unanswered:
            self._emptied(self._gone)
            self._gone = 0
            for future in self._waiting_for_idle:
                if not future.done():
                    future.set_result(None)
            self._waiting_for_idle.clear()

    def _give_back(self, hold: BodyHold) -> None:
        self.finished(hold)
        self.bytes -= hold.bytes
        self._gone += hold.bytes
        self._by_key[hold.key] -= hold.bytes
        if not self._by_key[hold.key]:
            del self._by_key[hold.key]
        hold.bytes = 0

    async def idle(self) -> None:
        """Returns when every call whose body was taken has been answered."""
        if self._unanswered:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting_for_idle.append(future)
            await future

    def refuse_all(self, error: ServiceError) -> None:
        """Refuses every body that is not whole yet."""
        for hold in list(self._arriving):
            hold.refuse(error)

    def _make_room(self, asking: BodyHold, arriving: list[BodyHold], limit: str) -> None:
        """Refuses one of the `arriving` bodies: the newest of the key that holds the most. Raises Unavailable if that
        is the one that asks."""
        newest_first = [hold for hold in reversed(arriving) if hold.bytes or hold is asking]
        chosen = max(newest_first, key=lambda hold: self._by_key[hold.key], default=asking)
        if chosen is asking:
            raise self._no_room(limit)
        chosen.refuse(self._no_room(limit))
        self._give_back(chosen)

    def _no_room(self, limit: str) -> Unavailable:
        return Unavailable(
            f"The server holds {self.bytes} bytes of other calls and {limit}; retry later.",
            reason="queue_full",
            retry_after=_RETRY_AFTER_SECONDS,
        )
