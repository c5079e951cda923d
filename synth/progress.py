"""Where a run stands, while it runs: one line that is written over on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import time
from typing import TextIO

TERMINAL_SECONDS = 0.2
ENOUGH_SECONDS = 1.0  # of calls, from which the rest can be told


class Progress:
    """Counts units of one phase. `seconds` is the time between two plain lines; a terminal is written to faster."""

    def __init__(self, out: TextIO, seconds: float) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._seconds = TERMINAL_SECONDS if self._terminal else seconds
        self.begin("", 0)

    def begin(self, name: str, total: int) -> None:
        """Start a phase of `total` units."""
        self._name, self._total, self._done = name, total, 0
        self._shown = time.monotonic()
        self._first: tuple[float, int] | None = None  # when the first call had been made, and the units done by then

    def step(self, calls: int, cost: float, accepted: int) -> None:
        """One unit more is done. Units from the journal tell nothing of the time that is left, so they do not count."""
        if self._first is None and calls > 0:
            self._first = (time.monotonic(), self._done)
        self._done += 1
        if time.monotonic() - self._shown >= self._seconds:
            self._show(self._line(calls, cost, accepted))

    def end(self, calls: int, cost: float, accepted: int) -> None:
        """Show where the phase ended."""
        self._show(self._line(calls, cost, accepted))
        if self._terminal:
            self._out.write("\n")

    def _line(self, calls: int, cost: float, accepted: int) -> str:
        share = 100 * self._done / self._total if self._total else 100
        units = f"{self._name}: {self._done} of {self._total} ({share:.0f} %)"
        return f"{units}, {calls} calls, {accepted} examples accepted, cost {cost:.4f}, {self._left()}"

    def _left(self) -> str:
        if self._done >= self._total:
            return "done"
        elapsed = time.monotonic() - self._first[0] if self._first else 0.0
        if self._first is None or elapsed < ENOUGH_SECONDS:
            return "time left unknown"
        each = elapsed / (self._done - self._first[1])
        return f"about {duration(each * (self._total - self._done))} left"

    def _show(self, line: str) -> None:
        self._shown = time.monotonic()
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            self._out.write("\r" + line[:width].ljust(width))
        else:
            self._out.write(line + "\n")
        self._out.flush()


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `5 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
