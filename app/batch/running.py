"""Answers calls over one connection, concurrently; bounds on calls and documents keep memory flat."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from app.batch.asking import Asker
from app.batch.calls import Call, Calls
from app.batch.progress import Progress
from app.batch.results import Outcome, Results, result_line

CALLS_HERE = 256  # concurrent calls: enough to fill the largest engine with calls of one document
CALLS_AT_URL = 32
_DOCUMENTS_AT_A_TIME = 4096  # in addition to those of the first call, which may exceed the bound alone
_SYNC_SECONDS = 5.0


@dataclass(slots=True)
class Room:
    """Bounds the documents in flight. One call is always let in."""

    documents: int = _DOCUMENTS_AT_A_TIME
    held: int = 0

    def take(self, documents: int) -> bool:
        if self.held and self.held + documents > self.documents:
            return False
        self.held += documents
        return True


class Run:
    """Answers the calls of `rows` in order and writes each answer as it arrives."""

    def __init__(self, calls: Calls, rows: Iterator[int], results: Results, asker: Asker, progress: Progress) -> None:
        self._calls = calls
        self._rows = rows
        self._results = results
        self._asker = asker
        self._progress = progress

    async def run(self, concurrency: int) -> bool:
        """Answers all calls. Returns False when a signal stopped it. Raises ServiceFailed and DiskFull."""
        # An answered call is cyclic garbage, because the client's responses and streams refer to each other. Freezing
        # what was loaded so far makes collections cheap and frequent, which keeps memory flat.
        gc.collect()
        gc.freeze()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        try:
            return await self._until(stop, concurrency)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def _until(self, stop: asyncio.Event, concurrency: int) -> bool:
        """Keeps `concurrency` calls in flight until none is left, `stop` is set, or one raises."""
        running: set[asyncio.Task[int]] = set()
        room, held = Room(), None
        stopped = asyncio.create_task(stop.wait())
        syncing = asyncio.create_task(self._sync_now_and_then())
        try:
            while not stop.is_set():
                while len(running) < concurrency:
                    call = held or self._next()
                    held = None
                    if call is None:
                        break
                    if not room.take(call.documents):
                        held = call
                        break
                    running.add(asyncio.create_task(self._answer(call)))
                if not running:
                    return True
                await asyncio.wait({*running, stopped, syncing}, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in running if task.done()]:
                    running.discard(task)
                    room.held -= task.result()
                if syncing.done():
                    syncing.result()
            return False
        finally:
            for each in (*running, stopped, syncing):
                each.cancel()
            await asyncio.gather(*running, stopped, syncing, return_exceptions=True)

    def _next(self) -> Call | None:
        row = next(self._rows, None)
        return None if row is None else self._calls.call(row)

    async def _answer(self, call: Call) -> int:
        """Sends the call, writes the outcome and returns the number of documents."""
        outcome = await self._asker.ask(call)
        record(call, outcome, self._results.write)
        self._progress.count(call, outcome)
        return call.documents

    async def _sync_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_SYNC_SECONDS)
            await asyncio.to_thread(self._results.sync)


def record(call: Call, outcome: Outcome, write: Callable[..., None]) -> None:
    """Writes the outcome of a call to the answers or the failures."""
    write(result_line(call, outcome), failed=outcome.error is not None)
