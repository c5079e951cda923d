"""Progress of long operations: a bar on a terminal, elsewhere a log line every ten seconds, both with the remaining
time.

    with progress("converting_model", total=272, unit="tensors") as shown:
        for tensor in tensors:
            ...
            shown.advance()

A separate thread writes, so that a step that takes minutes is not silent. Work that ends within a second shows nothing.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BEFORE_BAR = 1.0
_SECONDS_BETWEEN_DRAWINGS = 0.2
_BAR_CELLS = 24
_CLEAR = "\r\x1b[K"

_log = logging.getLogger("limrank.progress")
_drawn: list[TextIO] = []  # the terminal that currently shows a bar
_drawing = threading.RLock()


class Progress:
    """The progress of one operation. `total` is None while unknown; it may be set or increased later. `step` tells in
    words what is being done, where amounts are not known."""

    def __init__(
        self, work: str, total: float | None = None, unit: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.work = work
        self.total = total
        self.done = 0.0
        self.unit = unit
        self.step: Callable[[], str] = str
        self._clock = clock
        self._begun = clock()

    def advance(self, amount: float = 1) -> None:
        self.done += amount

    @property
    def seconds(self) -> float:
        return self._clock() - self._begun

    @property
    def seconds_left(self) -> float | None:
        """At the average speed so far; None when it cannot be estimated."""
        if not self.total or self.done <= 0:
            return None
        return self.seconds * max(0.0, self.total - self.done) / self.done

    def facts(self) -> dict[str, Any]:
        """The fields of a log line."""
        left = self.seconds_left
        step = self.step()
        return {
            "work": self.work,
            **({"step": step} if step else {}),
            "seconds": round(self.seconds, 1),
            "done": int(self.done),
            "total": None if self.total is None else int(self.total),
            "unit": self.unit,
            "seconds_left": None if left is None else round(left, 1),
        }

    def line(self) -> str:
        """The text on a terminal."""
        words = self.work.replace("_", " ").capitalize()
        parts = [words]
        if self.total:
            share = min(1.0, self.done / self.total)
            full = int(share * _BAR_CELLS)
            parts += ["█" * full + "░" * (_BAR_CELLS - full), f"{share:4.0%} of {_amount(self.total, self.unit)}"]
        elif self.done:
            parts.append(_amount(self.done, self.unit))
        if step := self.step():
            parts.append(step)
        parts.append(_time(self.seconds))
        if (left := self.seconds_left) is not None:
            parts.append(f"about {_time(left)} left")
        return "  ".join(parts)


@contextmanager
def progress(
    work: str, total: float | None = None, unit: str = "", *, stream: TextIO | None = None, every: float | None = None
) -> Iterator[Progress]:
    """Shows the progress of the block, which reports its advance. `stream` is standard error by default; `every` is the
    interval between two lines in seconds."""
    shown = Progress(work, total, unit)
    out = sys.stderr if stream is None else stream
    ended = threading.Event()
    if out is not None and out.isatty():
        show, wait, interval = _draw, _SECONDS_BEFORE_BAR, _SECONDS_BETWEEN_DRAWINGS
    else:
        show, wait, interval = _write, SECONDS_BETWEEN_LINES, SECONDS_BETWEEN_LINES
    if every is not None:
        wait = interval = every
    thread = threading.Thread(target=_show, args=(show, shown, out, ended, wait, interval), daemon=True)
    thread.start()
    try:
        yield shown
    finally:
        ended.set()
        thread.join()
        clear()


def clear() -> None:
    """Erases the bar, so that another line can be written to the terminal; the bar is drawn again below it."""
    with _drawing:
        while _drawn:
            out = _drawn.pop()
            out.write(_CLEAR)
            out.flush()


def _show(
    show: Callable[[Progress, TextIO], None],
    shown: Progress,
    out: TextIO,
    ended: threading.Event,
    wait: float,
    interval: float,
) -> None:
    while not ended.wait(wait):
        show(shown, out)
        wait = interval


def _draw(shown: Progress, out: TextIO) -> None:
    with _drawing:
        out.write(_CLEAR + shown.line())
        out.flush()
        if out not in _drawn:
            _drawn.append(out)


def _write(shown: Progress, out: TextIO) -> None:
    _log.info("progress", extra=shown.facts())


def _amount(value: float, unit: str) -> str:
    if unit != "bytes":
        return f"{value:,.0f} {unit}".rstrip()
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def _time(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60:02d} s"
