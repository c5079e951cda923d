"""How fast the engine works, measured as it works, so that a wait can be estimated before it is imposed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from service.engine import Scoring

_SAMPLE_SECONDS = 0.5  # shorter samples see single batches, longer ones react late
_WEIGHT = 0.3  # of a new sample
# An engine gives back the documents of a batch one by one within milliseconds, after the seconds that the batch took. A
# sample that ended at the first of them would hold all of the time and one of the documents.
_BURST_SECONDS = 0.02
_LONGEST_SAMPLE_SECONDS = 2.0  # where documents come without a pause
_FRESH_SECONDS = 10.0


class Throughput:
    """Work units (tokens) per second and scoring, over the time in which the engine had work of that kind."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rate: dict[Scoring, float] = {}
        self._supposed: dict[Scoring, float] = {}
        self._sampled = dict.fromkeys(Scoring, -math.inf)
        self._running = dict.fromkeys(Scoring, 0)
        self._busy = dict.fromkeys(Scoring, 0.0)
        self._done = dict.fromkeys(Scoring, 0.0)
        self._whole = dict.fromkeys(Scoring, 0.0)  # busy seconds up to the last document that left
        self._left = dict.fromkeys(Scoring, -math.inf)  # when that was
        self._since = clock()

    def started(self, scoring: Scoring, documents: int) -> None:
        self._account()
        self._running[scoring] += documents

    def finished(self, scoring: Scoring, work: float) -> None:
        """A document left the engine with its verdict; `work` is what it was."""
        now, whole = self._clock(), self._whole[scoring]
        paused = now - self._left[scoring] > _BURST_SECONDS
        if whole >= (_SAMPLE_SECONDS if paused else _LONGEST_SAMPLE_SECONDS):
            self._take_sample(scoring)
        self._account()
        self._running[scoring] -= 1
        self._done[scoring] += work
        self._whole[scoring], self._left[scoring] = self._busy[scoring], now
        if not self._running[scoring] and self._whole[scoring] >= _SAMPLE_SECONDS:
            self._take_sample(scoring)

    def abandoned(self, scoring: Scoring, documents: int) -> None:
        """Documents left the engine without a verdict: the time they had a share in counts for nothing."""
        if documents:
            self._account()
            self._busy[scoring] *= 1 - documents / self._running[scoring]
            self._whole[scoring] = min(self._whole[scoring], self._busy[scoring])
            self._running[scoring] -= documents

    def suppose(self, scoring: Scoring, rate: float) -> None:
        """Take `rate` (work per second) for granted until something has been measured."""
        self._supposed[scoring] = rate

    def seconds_for(self, scoring: Scoring, work: float) -> float:
        """How long the engine needs for `work`, had it nothing else to do; 0 while nothing is known."""
        rate = self._rate.get(scoring) or self._supposed.get(scoring)
        return work / rate if rate else 0.0

    def known(self, scoring: Scoring) -> bool:
        """True while what was measured is of the last seconds: an engine that was slow once need not be slow now."""
        return self._clock() - self._sampled[scoring] < _FRESH_SECONDS

    def _account(self) -> None:
        """Share the time since the last event among the scorings by the documents they had in the engine."""
        now, total = self._clock(), sum(self._running.values())
        for scoring, running in self._running.items():
            if running:
                self._busy[scoring] += (now - self._since) * running / total
        self._since = now

    def _take_sample(self, scoring: Scoring) -> None:
        """Of whole bursts: what left the engine, over the time until the last of it did."""
        sample = self._done[scoring] / self._whole[scoring]
        if sample > 0:
            before = self._rate.get(scoring, sample)
            self._rate[scoring] = (1 - _WEIGHT) * before + _WEIGHT * sample
            self._busy[scoring] -= self._whole[scoring]
            self._done[scoring] = self._whole[scoring] = 0.0
            self._sampled[scoring] = self._clock()
