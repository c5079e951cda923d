"""How long verdict steps take here, measured as they are taken: what a deadline must leave time for."""

from __future__ import annotations

import time
from collections.abc import Callable

from service.engines.causal.speed import Pace

_SAMPLE_SECONDS = 0.25
_STEPS_TO_ENTER = 2  # the step that runs when a request arrives, and one that the front end is behind


class VerdictPace:
    """Measures requests of one step (direct documents and verdicts) while any is under way, and traces by token."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pace = Pace()
        self._running = 0
        self._done = 0
        self._since = clock()

    def began(self) -> None:
        """A request of one step was submitted."""
        if not self._running:
            self._since, self._done = self._clock(), 0
        self._running += 1

    def ended(self, computed: int) -> None:
        """It is answered; `computed` tokens of it were not in the cache."""
        self._running -= 1
        self._done += computed
        seconds = self._clock() - self._since
        if self._done and (not self._running or seconds >= _SAMPLE_SECONDS):
            self._pace.packed(self._done, seconds)
            self._since, self._done = self._clock(), 0

    def wrote(self, tokens: int, seconds: float) -> None:
        """A trace grew by `tokens` in `seconds`."""
        if tokens:
            self._pace.stepped(seconds / tokens)

    @property
    def token_seconds(self) -> float:
        return self._pace.token_seconds

    @property
    def entry_seconds(self) -> float:
        """From submitting a request that goes first until its own step begins."""
        return _STEPS_TO_ENTER * self._pace.step_seconds
