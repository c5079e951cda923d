"""Waiting in tests for what must happen, however slow the machine is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

# Seconds after which a test that waits in vain says for what, before pytest's own limit ends it without a word. A guard
# against hanging, and never what a test is about: no machine that works at all is so slow.
PATIENCE = 600.0


def wait_until(
    happened: Callable[[], bool],
    what: str | Callable[[], str] = "it",
    every: float = 0.005,
    patience: float = PATIENCE,
) -> None:
    """Wait until `happened` is true, looking every so many seconds. `what` is told where it never becomes true."""
    deadline = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < deadline, f"waited in vain: {what if isinstance(what, str) else what()}"
        time.sleep(every)


async def until(happened: Callable[[], bool], every: float = 0.002) -> None:
    """As `wait_until`, for what happens in this event loop or in another thread."""
    async with asyncio.timeout(PATIENCE):
        while not happened():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(every)


async def turns(count: int = 10) -> None:
    """Of the event loop: whatever can go on by itself has gone on so many times."""
    for _ in range(count):
        await asyncio.sleep(0)
