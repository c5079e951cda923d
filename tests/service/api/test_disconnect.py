"""Work ends with the client that waits for it, and nothing is left running."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message

from service.api.disconnect import while_client_waits
from service.errors import ClientLeft


class Client:
    """Stays until it leaves; counts who still listens to it."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.listeners = 0

    async def receive(self) -> Message:
        self.listeners += 1
        try:
            await self.left.wait()
        finally:
            self.listeners -= 1
        return {"type": "http.disconnect"}


class Work:
    """Takes its time and tells how it ended."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = ""

    async def run(self) -> str:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)  # freeing what it holds takes time too
            self.ended = "cancelled"
            raise
        return "never"


async def test_the_result_of_work_that_ends() -> None:
    client = Client()

    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    assert await while_client_waits(work(), client.receive) == "done"
    assert client.listeners == 0


async def test_an_error_of_the_work_is_raised() -> None:
    async def work() -> str:
        raise KeyError("a")

    with pytest.raises(KeyError):
        await while_client_waits(work(), Client().receive)


async def test_a_client_that_leaves_ends_the_work_before_anything_is_answered() -> None:
    client, work = Client(), Work()
    call = asyncio.create_task(while_client_waits(work.run(), client.receive))
    await work.begun.wait()
    client.left.set()
    with pytest.raises(ClientLeft):
        await call
    assert work.ended == "cancelled"


async def test_a_cancelled_caller_ends_the_work_too() -> None:
    client, work = Client(), Work()
    call = asyncio.create_task(while_client_waits(work.run(), client.receive))
    await work.begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert work.ended == "cancelled"
    assert client.listeners == 0
