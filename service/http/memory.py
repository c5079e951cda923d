"""Keeps the memory of the C library small, and gives it back to the system once large bodies that took it are gone.

glibc keeps what a process frees: some hundred MiB after a minute of large bodies, which stay with the process for as
long as it runs. They are given back when no body is held any more, in a thread; small calls never get there. What one
small object keeps from being given back is more, the more arenas there are: glibc makes up to eight for each core.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Awaitable, Callable, Mapping

from service.http.limits import MEBIBYTE

_ARENAS = 2  # one for the event loop, one for all other threads: most of these wait for the interpreter's lock
_ARENA_SETTINGS = ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")  # an operator's own
_M_ARENA_MAX = -8  # of malloc.h
_LEAST_BYTES = 16 * MEBIBYTE  # of bodies that came and went
_PAUSE_SECONDS = 5.0  # in which others may come and go


class MemoryReturn:
    """To be called with the bytes of bodies that are gone, whenever none is left. Runs on one event loop."""

    def __init__(
        self,
        give_back: Callable[[], None] | None = None,
        pause: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(_PAUSE_SECONDS),
    ) -> None:
        self._give_back = give_back or trim_memory
        self._pause = pause
        self._gone = 0
        self._task: asyncio.Task[None] | None = None

    def __call__(self, size: int) -> None:
        self._gone += size
        if self._gone >= _LEAST_BYTES and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._later())

    async def _later(self) -> None:
        await self._pause()
        self._gone, self._task = 0, None
        gc.collect()  # refused calls hold their bodies in cycles, and few new objects mean few collections
        await asyncio.to_thread(self._give_back)


def limit_arenas(environ: Mapping[str, str]) -> None:
    """Has glibc make few arenas for the threads of this process; nothing with another C library, or where the
    environment says how many."""
    limit = getattr(ctypes.CDLL(None), "mallopt", None)
    if limit is not None and not any(name in environ for name in _ARENA_SETTINGS):
        limit(_M_ARENA_MAX, _ARENAS)


def trim_memory() -> None:
    """Has the C library give freed memory back; nothing where it is another than glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
