"""`limrank-serve` with a monitor of its event loop: `python -m bench.service.loop_lag FLAGS`, or `bench.hostile --lag`.

A thread checks the loop every few milliseconds. When the loop has not run for longer than `LATE`, the thread records
where the loop's thread is. At the end it prints to standard error how often and for how long the loop was blocked, and
in which lines. A line that waits for the interpreter's lock or for a core looks like one that computes.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import uvloop

from service import main as program
from service.api.app import open_keys
from service.settings import Settings, from_command_line
from service.telemetry.logs import configure_logging

LATE = 0.1  # seconds
REPORT = "event loop: "  # begins the report in the log
_EVERY = 0.01
_BEAT = 0.02
_FRAMES = 6  # innermost frames that are shown
_SHOWN = 25
_OLDEST = 2  # generation of the garbage collector


@dataclass
class LoopWatch:
    """Monitors one event loop. `stalls` are the seconds that the loop was blocked each time; `places` counts the checks
    by the place where the loop was blocked; `collections` are the durations of full garbage collections, which stop all
    threads."""

    stalls: list[float] = field(default_factory=list)
    places: Counter[str] = field(default_factory=Counter)
    collections: list[float] = field(default_factory=list)
    _turned: float = field(default_factory=time.monotonic)
    _began: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    async def beat(self) -> None:
        """Wakes up with the loop until it is cancelled."""
        thread = threading.Thread(target=self._look, args=(threading.get_ident(),), daemon=True)
        self._turned = time.monotonic()
        thread.start()
        gc.callbacks.append(self._collected)
        try:
            while True:
                now = time.monotonic()
                if now - self._turned > LATE + _BEAT:
                    self.stalls.append(now - self._turned)
                self._turned = now
                await asyncio.sleep(_BEAT)
        finally:
            self._over.set()
            gc.callbacks.remove(self._collected)

    def report(self) -> str:
        """A readable report."""
        longest = sorted(self.stalls, reverse=True)[:10]
        lines = [
            f"{REPORT}it stood still {len(self.stalls)} times for more than {LATE:g} s, {sum(self.stalls):.1f} s in all"
        ]
        lines.append("longest: " + ", ".join(f"{seconds:.2f}" for seconds in longest))
        lines.append(f"{len(self.collections)} full garbage collections, {sum(self.collections):.1f} s in all")
        lines += [f"{count * _EVERY:6.2f} s  {place}" for place, count in self.places.most_common(_SHOWN)]
        return "\n".join(lines)

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.monotonic()
        elif info["generation"] == _OLDEST:
            self.collections.append(time.monotonic() - self._began)

    def _look(self, thread: int) -> None:
        while not self._over.wait(_EVERY):
            frame = sys._current_frames().get(thread)
            if frame is not None and time.monotonic() - self._turned > LATE + _BEAT:
                self.places[_place(frame)] += 1


def _place(frame: FrameType) -> str:
    stack = traceback.extract_stack(frame)[-_FRAMES:]
    return " < ".join(f"{Path(each.filename).name}:{each.lineno} {each.name}" for each in reversed(stack))


async def _watched(settings: Settings, watch: LoopWatch) -> int:
    sockets = program._bind_all(settings)
    composition = program.compose(settings, open_keys(settings))
    beating = asyncio.create_task(watch.beat())
    try:
        return await program._serve(settings, composition, sockets)
    finally:
        beating.cancel()


def main() -> int:
    settings = from_command_line(sys.argv[1:], os.environ)
    configure_logging(settings.log_level)
    watch = LoopWatch()
    try:
        return uvloop.run(_watched(settings, watch))
    finally:
        sys.stderr.write(watch.report() + "\n")


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main())
