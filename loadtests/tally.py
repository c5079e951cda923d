"""What a run did, counted: answers and their times, documents, refusals; and whether that keeps the thresholds."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from loadtests.settings import LEAST_CALLS_FOR_P99, Thresholds


@dataclass(slots=True)
class Tally:
    """Counts of one run; `seconds` holds the time of every answered call, by scenario."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    documents: int = 0
    refused: int = 0
    failed: int = 0
    rejected_as_expected: int = 0
    left: int = 0
    started: float = field(default_factory=time.monotonic)
    last: float = field(default_factory=time.monotonic)

    def answered(self, scenario: str, seconds: float, documents: int) -> None:
        self.seconds.setdefault(scenario, []).append(seconds)
        self.documents += documents
        self.last = time.monotonic()

    @property
    def times(self) -> list[float]:
        return [each for times in self.seconds.values() for each in times]

    @property
    def calls(self) -> int:
        """Every call made, those among them that were meant to fail or be left."""
        return self.serious + self.rejected_as_expected + self.left

    @property
    def serious(self) -> int:
        """Calls that were expected to succeed, and those that failed."""
        return len(self.times) + self.refused + self.failed

    def summary(self) -> dict[str, Any]:
        """The numbers of the run. Seconds; documents per second from the start to the last answer."""
        span = self.last - self.started
        return {
            "calls": self.calls,
            "answered": len(self.times),
            "refused": self.refused,
            "failed": self.failed,
            "rejected_as_expected": self.rejected_as_expected,
            "left": self.left,
            "documents": self.documents,
            "seconds": round(span, 3),
            "documents_per_second": round(self.documents / span, 2) if self.documents else 0.0,
            "all": quantiles(self.times),
            "scenarios": {name: quantiles(times) for name, times in sorted(self.seconds.items())},
        }

    def missed(self, thresholds: Thresholds) -> list[str]:
        """A sentence for each threshold that was not kept."""
        if not self.calls:
            return ["No call was made."]
        found = []
        serious = max(self.serious, 1)
        if self.failed / serious > thresholds.failed:
            found.append(f"{self.failed} of {serious} calls failed; {thresholds.failed:.2%} may.")
        if self.refused / serious > thresholds.refused:
            found.append(f"{self.refused} of {serious} calls were refused; {thresholds.refused:.2%} may be.")
        p95 = quantiles(self.times)["p95"]
        if thresholds.p95_seconds is not None and (p95 is None or p95 > thresholds.p95_seconds):
            found.append(f"p95 is {p95} s; it may be {thresholds.p95_seconds} s.")
        return found


def quantiles(times: Sequence[float]) -> dict[str, float | None]:
    """Nearest-rank quantiles in seconds; a p99 only where there are enough calls for it to mean something."""
    ranked = sorted(times)

    def at(share: float) -> float | None:
        return round(ranked[math.ceil(share * len(ranked)) - 1], 4) if ranked else None

    p99 = at(0.99) if len(ranked) >= LEAST_CALLS_FOR_P99 else None
    return {"calls": len(ranked), "p50": at(0.5), "p95": at(0.95), "p99": p99}
