"""The one display of a run: what it does now, how far it is, and about how long it will go on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TextIO

from app.batch.progress import duration

_TERMINAL_SECONDS = 0.5
_LOG_SECONDS = 30.0


@dataclass(slots=True)
class Progress:
    """`expected`: seconds that each step is expected to take. What steps really took corrects the rest."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    expected: dict[str, float] = field(default_factory=dict)
    _step: str = ""
    _begun: float = 0.0
    _next: float = 0.0
    _share: float = 0.0
    _took: float = 0.0
    _had: float = 0.0

    def say(self, text: str) -> None:
        """A line that stays."""
        end = "\x1b[K\n" if self.stream.isatty() else "\n"
        self.stream.write(("\r" if self.stream.isatty() else "") + text + end)
        self.stream.flush()

    def expect(self, seconds: Mapping[str, float]) -> None:
        """What the remaining steps are expected to take."""
        self.expected = dict(seconds)

    def begin(self, step: str) -> None:
        self._step, self._share = step, 0.0
        self._begun = self.clock()
        self._next = self._begun + (0.0 if self.stream.isatty() else _LOG_SECONDS)

    def at(self, done: float, total: float, detail: str = "") -> None:
        """The step has done so much of so much."""
        self._share = min(1.0, done / total) if total else 0.0
        now = self.clock()
        if now < self._next:
            return
        terminal = self.stream.isatty()
        self._next = now + (_TERMINAL_SECONDS if terminal else _LOG_SECONDS)
        line = f"{self._step:<12}{100 * self._share:3.0f} %  {f'{detail}  ' if detail else ''}{self.left()}"
        self.stream.write(f"\r{line}\x1b[K" if terminal else f"{line}\n")
        self.stream.flush()

    def end(self, told: str) -> float:
        """The step is done; the seconds it took."""
        seconds = self.clock() - self._begun
        self._took += seconds
        self._had += self.expected.pop(self._step, 0.0)
        self.say(f"{self._step:<12}{told}  ({duration(seconds)})")
        return seconds

    def skipped(self, step: str, told: str) -> None:
        """A step that an earlier run has done."""
        self.expected.pop(step, None)
        self.say(f"{step:<12}{told}  (done before)")

    def left(self) -> str:
        """The time left in all, reckoned from what was expected and what it has taken until now."""
        now = self.expected.get(self._step, 0.0)
        spent = self.clock() - self._begun
        rest = sum(self.expected.values()) - now
        pace = (self._took + spent) / (self._had + now * self._share) if self._had + now * self._share > 0 else 1.0
        here = spent / self._share * (1 - self._share) if self._share > 0.02 else now
        return f"about {duration(here + rest * min(max(pace, 0.2), 5.0))} left"
