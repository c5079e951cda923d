"""The progress display of a run: one line that is redrawn on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TextIO

TERMINAL_SECONDS = 0.2
ENOUGH_SECONDS = 1.0  # of calls, after which the remaining time is estimated


@dataclass(frozen=True, slots=True)
class Counts:
    """Totals of the run so far: calls made, questions settled (including journalled ones), money, accepted examples."""

    calls: int = 0
    settled: int = 0
    cost: float = 0.0
    accepted: int = 0


class Progress:
    """Counts the units of one phase. `seconds` is the time between plain lines; a terminal is updated more often."""

    def __init__(self, out: TextIO, seconds: float) -> None:
        self._out = out
        self._terminal = out.isatty()
        self.seconds = TERMINAL_SECONDS if self._terminal else seconds
        self.begin("", 0, 0, Counts())

    def begin(self, name: str, total: int, questions: int, counts: Counts) -> None:
        """Starts a phase of `total` units that ask at most `questions` questions."""
        self._name, self._total, self._questions, self._done = name, total, questions, 0
        self._before = counts
        self._shown = time.monotonic()
        self._first: tuple[float, float] | None = None  # time and share done at the first call

    def step(self, counts: Counts) -> None:
        """Count one finished unit."""
        self._done += 1
        self.show(counts)

    def show(self, counts: Counts) -> None:
        """Show the progress, if it is time."""
        share = self._share(counts)
        # Journalled answers say nothing about the remaining time, so time counts from the first call.
        if self._first is None and counts.calls > self._before.calls:
            self._first = (time.monotonic(), share)
        if time.monotonic() - self._shown >= self.seconds:
            self._show(self._line(counts, share))

    def end(self, counts: Counts) -> None:
        """Show the final state of the phase."""
        self._show(self._line(counts, self._share(counts)))
        if self._terminal:
            self._out.write("\n")

    def _share(self, counts: Counts) -> float:
        """The share of the phase that is done, by questions or by units, whichever is larger. Questions are finer,
        because many units run at a time; units are better near the end, because a unit that ends early asks fewer
        questions than expected."""
        if self._done >= self._total:
            return 1.0
        settled = (counts.settled - self._before.settled) / self._questions if self._questions else 0.0
        return max(self._done / self._total, min(settled, 0.99))

    def _line(self, counts: Counts, share: float) -> str:
        units = f"{self._name}: {self._done} of {self._total} ({100 * share:.0f} %)"
        text = f"{units}, {counts.calls} calls, {counts.accepted} examples accepted, cost {counts.cost:.4f}"
        return f"{text}, {self._left(share)}"

    def _left(self, share: float) -> str:
        if share >= 1.0:
            return "done"
        if self._first is None:
            return "time left unknown"
        elapsed, gained = time.monotonic() - self._first[0], share - self._first[1]
        if elapsed < ENOUGH_SECONDS or gained <= 0.0:
            return "time left unknown"
        return f"about {duration(elapsed / gained * (1.0 - share))} left"

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
