"""Cancels the work for a request whose client has disconnected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from service.errors import ClientLeft, Stage

T = TypeVar("T")


async def while_client_waits(
    work: Coroutine[Any, Any, T], receive: Receive, stage: Callable[[], Stage] = lambda: "running"
) -> T:
    """Returns the result of `work`; raises ClientLeft, with the current `stage`, if the client disconnects first.

    `receive` must have delivered the whole request body. `work` has ended, by itself or by cancellation, whenever
    this returns or raises, also when the caller is cancelled itself.
    """
    task = asyncio.create_task(work)
    watch = asyncio.create_task(_client_left(receive))
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientLeft("The client closed the connection before the answer was ready.", stage=stage())
    finally:
        task.cancel()
        watch.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
