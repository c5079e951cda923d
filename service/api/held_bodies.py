"""How much of request bodies the process holds at once, so that many large calls together cannot fill its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.errors import Unavailable

_RETRY_AFTER_SECONDS = 2.0


class HeldBodies:
    """Counts the bytes of all bodies, each from its first byte to its answer, up to `limit`. Runs on one event loop.

    What is announced counts from the first byte on (`body.read_body` sees to that): were it counted piece by piece,
    many bodies that come together would fill the room half read, and none would be answered.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.bytes = 0

    @contextmanager
    def hold(self) -> Iterator[Callable[[int], None]]:
        """A function that takes the size of each piece of one body as it comes; all is given back at the end.

        It raises Unavailable when there is no room for the piece.
        """
        held = 0

        def take(size: int) -> None:
            nonlocal held
            if self.bytes + size > self._limit:
                raise Unavailable(
                    f"The server holds {self.bytes} bytes of other calls and takes {self._limit} in all; retry later.",
                    reason="queue_full",
                    retry_after=_RETRY_AFTER_SECONDS,
                )
            self.bytes += size
            held += size

        try:
            yield take
        finally:
            self.bytes -= held
