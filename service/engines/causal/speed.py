"""The measured speed of the model, from which the time left before a deadline is planned."""

from __future__ import annotations

import time
from collections.abc import Callable

_FADING = 0.7  # weight of earlier measurements at each new one
_SMALL = 512, 0.1  # tokens and seconds: a batch below both took one step's overhead, whatever its size
_SAMPLE_SECONDS = 0.25  # over which requests of one step are measured together
_STEPS_TO_ENTER = 2  # the step that runs when a request arrives, and one by which the front end lags


class Pace:
    """Seconds per token of a batch and per decoding step; 0 before the first measurement."""

    def __init__(self) -> None:
        self._pack_tokens = self._pack_seconds = 0.0
        self._steps = self._steps_seconds = 0.0

    @property
    def token_seconds(self) -> float:
        return self._pack_seconds / self._pack_tokens if self._pack_tokens else 0.0

    @property
    def step_seconds(self) -> float:
        return self._steps_seconds / self._steps if self._steps else 0.0

    def packed(self, tokens: int, seconds: float) -> None:
        """Records that a batch of `tokens` took `seconds`. Large batches weigh more: small ones are mostly overhead,
        and slow-looking small ones are ignored once there is a measurement."""
        small = tokens < _SMALL[0] and seconds < _SMALL[1]
        if small and self._pack_tokens and seconds > tokens * self.token_seconds:
            return
        self._pack_tokens = _FADING * self._pack_tokens + tokens
        self._pack_seconds = _FADING * self._pack_seconds + seconds

    def stepped(self, seconds: float) -> None:
        """Records that a decoding step took `seconds`."""
        self._steps = _FADING * self._steps + 1
        self._steps_seconds = _FADING * self._steps_seconds + seconds


class RequestPace:
    """The same for an engine that is observed per request, not per batch. Measures the requests of one step (direct
    scoring, and answers after reasoning) while any is in flight, and reasoning by its tokens."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pace = Pace()
        self._running = 0
        self._computed = 0
        self._since = clock()

    @property
    def token_seconds(self) -> float:
        return self._pace.token_seconds

    @property
    def entry_seconds(self) -> float:
        """Seconds from submitting a request that goes first until its own step begins."""
        return _STEPS_TO_ENTER * self._pace.step_seconds

    def began(self) -> None:
        """Records that a request of one step was submitted."""
        if not self._running:
            self._since, self._computed = self._clock(), 0
        self._running += 1

    def ended(self, computed: int) -> None:
        """Records that such a request is answered; `computed` of its tokens were not cached."""
        self._running -= 1
        self._computed += computed
        seconds = self._clock() - self._since
        if self._computed and (not self._running or seconds >= _SAMPLE_SECONDS):
            self._pace.packed(self._computed, seconds)
            self._since, self._computed = self._clock(), 0

    def wrote(self, tokens: int, seconds: float) -> None:
        """Records that reasoning grew by `tokens` in `seconds`."""
        if tokens:
            self._pace.stepped(seconds / tokens)
