"""The event loop of a run and of its client processes: uvloop, which makes a request a fifth cheaper."""

from __future__ import annotations

import asyncio
import sys


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A loop factory for `asyncio.Runner`; asyncio's own on Windows, where uvloop does not exist."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()
