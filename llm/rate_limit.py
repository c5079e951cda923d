"""Limits requests and tokens per minute of one endpoint by waiting before a request is sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

BURST_SECONDS = 1.0


class Pace:
    """At most `per_minute` units in any 60 seconds, spread evenly, with bursts of one second's worth.

    A request larger than the burst passes once the previous debt is paid, and leaves a debt itself: the bound then
    holds on average. Waiters are served in order of arrival.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rate = per_minute / (60.0 + BURST_SECONDS)  # a full burst plus a full minute is `per_minute`
        self._burst = max(self._rate * BURST_SECONDS, 1.0)
        self._level = self._burst
        self._at = clock()
        self._turn = asyncio.Lock()

    async def take(self, units: float) -> None:
        """Waits until `units` are available and takes them."""
        async with self._turn:
            self._refill()
            missing = min(units, self._burst) - self._level
            if missing > 0:
                await asyncio.sleep(missing / self._rate)
                self._refill()
            self._level -= units

    def correct(self, units: float) -> None:
        """Corrects the units taken by the difference to those used; negative gives units back."""
        self._level -= units

    def _refill(self) -> None:
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
