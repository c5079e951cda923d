"""Work ends with the client that waits for it, says at which stage, and nothing is left running."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from starlette.types import Message

from service.api.disconnect import client_leaves
from service.errors import ClientLeft
from service.scheduling.work import Answer, Work
from tests.fakes import ScriptedEngine
from tests.service.scheduling.test_admission import Door, incoming, work


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


class StuckEngine(ScriptedEngine):
    """Never ends; tells when it has begun."""

    def __init__(self) -> None:
        super().__init__(stuck=True)
        self.working = asyncio.Event()

    async def _work(self, passage: str) -> None:
        self.working.set()
        await super()._work(passage)


class Encoding:
    """Gives a call its ids, once it may; tells how it ended."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.ended = asyncio.Event()
        if at_once:
            self.may_end.set()

    async def __call__(self) -> Work:
        self.begun.set()
        try:
            await self.may_end.wait()
        finally:
            self.ended.set()
        return work(2)


def calling(door: Door, client: Client, encoding: Encoding) -> asyncio.Task[Answer]:
    leaves = partial(client_leaves, client.receive)
    return asyncio.create_task(door.admission.score(incoming(work(2)), encoding, leaves))


async def nothing_runs(door: Door, client: Client) -> None:
    await asyncio.sleep(0)  # cancelled tasks have had their turn
    await asyncio.sleep(0)
    assert client.listeners == 0
    assert (door.admission.active, door.window.running, door.window.queued) == (0, 0, 0)


async def test_the_result_of_work_that_ends() -> None:
    door, client = Door(ScriptedEngine()), Client()
    assert len((await calling(door, client, Encoding())).completions) == 2
    await nothing_runs(door, client)


async def test_an_error_of_the_work_is_raised() -> None:
    async def fail() -> Work:
        raise KeyError("a")

    door, client = Door(ScriptedEngine()), Client()
    with pytest.raises(KeyError):
        await door.admission.score(incoming(work(2)), fail, partial(client_leaves, client.receive))
    await nothing_runs(door, client)


async def test_a_client_that_leaves_ends_the_work_before_anything_is_answered() -> None:
    engine, client = StuckEngine(), Client()
    door = Door(engine)
    call = calling(door, client, Encoding())
    await engine.working.wait()
    client.left.set()
    with pytest.raises(ClientLeft) as left:
        await call
    assert left.value.stage == "running"
    await nothing_runs(door, client)
    assert engine.running == 0


async def test_a_client_that_leaves_while_its_call_waits() -> None:
    door, client, encoding = Door(ScriptedEngine()), Client(), Encoding(at_once=False)
    call = calling(door, client, encoding)
    await encoding.begun.wait()
    client.left.set()
    with pytest.raises(ClientLeft) as left:
        await call
    assert left.value.stage == "queued"
    await asyncio.wait_for(encoding.ended.wait(), 60)
    await nothing_runs(door, client)


async def test_a_cancelled_caller_ends_the_work_too() -> None:
    engine, client = StuckEngine(), Client()
    door = Door(engine)
    call = calling(door, client, Encoding())
    await engine.working.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await nothing_runs(door, client)
    assert engine.running == 0
