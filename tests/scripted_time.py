"""An event loop whose clock is scripted: it stands still while anything can go on, and jumps to the next timer when
nothing can. What sleeps or times out in it takes no time, and happens at the instant it is due on any machine.

What runs in it reads the time with `asyncio.get_running_loop().time`, which product code is given as its `clock`.
Threads do not belong in it: they take real time, in which the clock may jump.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")


class ScriptedTime(asyncio.SelectorEventLoop):
    """Begins at second 1000."""

    def __init__(self) -> None:
        self._now = 1000.0
        super().__init__(_Jumping(self._pass))

    def time(self) -> float:
        return self._now

    def _pass(self, seconds: float) -> None:
        self._now += seconds


class _Jumping(selectors.DefaultSelector):
    """Where it would have to wait for `timeout`, it passes that time at once."""

    def __init__(self, passes: Callable[[float], None]) -> None:
        super().__init__()
        self._passes = passes

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        events = super().select(0)
        if not events:
            self._passes(timeout)
        return events


def scripted_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an asynchronous test in scripted time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=ScriptedTime) as runner:
            runner.run(test(*args, **kwargs))

    return run


def now() -> float:
    """The time of the running event loop."""
    return asyncio.get_running_loop().time()
