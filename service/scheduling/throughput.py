"""How fast the engine works, measured as it works, so that a wait can be estimated before it is imposed."""

from __future__ import annotations

import time
from collections.abc import Callable

from service.engine import Mode

_SAMPLE_SECONDS = 0.5  # shorter samples see single batches, longer ones react late
_WEIGHT = 0.3  # of a new sample


class Throughput:
    """Work units (estimated tokens) per second and mode, over the time in which the engine had work of that mode."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rate: dict[Mode, float] = {}
        self._running = dict.fromkeys(Mode, 0)
        self._busy = dict.fromkeys(Mode, 0.0)
        self._done = dict.fromkeys(Mode, 0.0)
        self._since = clock()

    def started(self, mode: Mode, documents: int) -> None:
        self._account()
        self._running[mode] += documents

    def finished(self, mode: Mode, work: float) -> None:
        """A document left the engine with its verdict; `work` is what it was."""
        self._account()
        self._running[mode] -= 1
        self._done[mode] += work
        if self._busy[mode] >= _SAMPLE_SECONDS:
            self._take_sample(mode)

    def abandoned(self, mode: Mode, documents: int) -> None:
        """Documents left the engine without a verdict: the time they had a share in counts for nothing."""
        if documents:
            self._account()
            self._busy[mode] *= 1 - documents / self._running[mode]
            self._running[mode] -= documents

    def suppose(self, mode: Mode, rate: float) -> None:
        """Take `rate` (work per second) for granted until something has been measured."""
        self._rate.setdefault(mode, rate)

    def seconds_for(self, mode: Mode, work: float) -> float:
        """How long the engine needs for `work`, had it nothing else to do; 0 while nothing is known."""
        rate = self._rate.get(mode)
        return work / rate if rate else 0.0

    def _account(self) -> None:
        """Share the time since the last event among the modes by the documents they had in the engine."""
        now, total = self._clock(), sum(self._running.values())
        for mode, running in self._running.items():
            if running:
                self._busy[mode] += (now - self._since) * running / total
        self._since = now

    def _take_sample(self, mode: Mode) -> None:
        sample = self._done[mode] / self._busy[mode]
        if sample > 0:
            before = self._rate.get(mode, sample)
            self._rate[mode] = (1 - _WEIGHT) * before + _WEIGHT * sample
            self._busy[mode] = self._done[mode] = 0.0
