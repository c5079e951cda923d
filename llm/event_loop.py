"""The event loop of a run and of its client processes: uvloop, with which a request costs a fifth less."""

from __future__ import annotations

import asyncio
import sys


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A loop for `asyncio.Runner`; asyncio's own on Windows, where there is no uvloop."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()
