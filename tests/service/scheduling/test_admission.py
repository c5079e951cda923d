"""The door: what is let in, what is turned away and with which advice, and what a deadline does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

import pytest

from service.engine import Job, Mode, Status, Verdict
from service.errors import BodyTooLarge, DeadlineExceeded, EngineDead, Unavailable
from service.lifecycle import Lifecycle, Phase
from service.scheduling.admission import Admission, QueueLimits
from service.scheduling.throughput import Throughput
from service.scheduling.window import FairWindow, Work
from tests.fakes import ScriptedEngine


class Door:
    """An admission over a scripted engine, with everything a test turns."""

    def __init__(self, engine: ScriptedEngine, *, documents: int = 100, tokens: int = 10_000, seats: int = 4) -> None:
        self.lifecycle = Lifecycle()
        self.lifecycle.phase = Phase.READY
        self.throughput = Throughput()
        self.window = FairWindow(engine, seats, self.throughput)
        limits = QueueLimits(documents=documents, tokens=tokens)
        self.admission = Admission(self.window, self.lifecycle, limits, self.throughput)


def work(count: int, *, seconds: float = 60.0, mode: Mode = Mode.DIRECT, cost: float = 10.0, priority: int = 1) -> Work:
    job = Job(call=f"c{count}", query="q", passages=tuple(f"passage {n}" for n in range(count)), priority=priority)
    return Work(job, mode, 0, time.monotonic() + seconds, (cost,) * count)


@pytest.mark.parametrize(
    ("phase", "reason"),
    [(Phase.STARTING, "not_ready"), (Phase.DRAINING, "draining"), (Phase.DEAD, "not_ready")],
)
async def test_only_a_server_that_serves_admits(phase: Phase, reason: str) -> None:
    door = Door(ScriptedEngine())
    door.lifecycle.phase = phase
    with pytest.raises(Unavailable) as refused:
        await door.admission.score(work(1))
    assert refused.value.reason == reason
    assert refused.value.retry_after
    assert refused.value.message


async def test_a_server_about_to_leave_still_serves() -> None:
    door = Door(ScriptedEngine())
    door.lifecycle.phase = Phase.LEAVING
    assert len((await door.admission.score(work(3))).verdicts) == 3


async def test_a_full_queue_turns_a_call_away_and_takes_it_later() -> None:
    engine = ScriptedEngine(seconds=0.005)
    door = Door(engine, documents=50)
    first = asyncio.create_task(door.admission.score(work(45)))
    await asyncio.sleep(0.01)
    with pytest.raises(Unavailable) as refused:
        await door.admission.score(work(30))
    assert refused.value.reason == "queue_full"
    await first
    assert len((await door.admission.score(work(30))).verdicts) == 30


async def test_the_queue_is_bounded_in_tokens_too() -> None:
    door = Door(ScriptedEngine(stuck=True), tokens=1000)
    first = asyncio.create_task(door.admission.score(work(20, cost=40.0)))
    await asyncio.sleep(0.01)
    with pytest.raises(Unavailable):
        await door.admission.score(work(20, cost=40.0))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_a_call_that_could_never_fit_is_too_large_and_not_asked_to_retry() -> None:
    door = Door(ScriptedEngine(), documents=50, tokens=1000)
    for too_much in (work(51), work(10, cost=101.0)):
        with pytest.raises(BodyTooLarge) as refused:
            await door.admission.score(too_much)
        assert refused.value.retry_after is None


async def test_a_wait_beyond_the_deadline_is_refused_at_the_door() -> None:
    door = Door(ScriptedEngine(seconds=0.01), documents=10_000, tokens=1_000_000)
    await door.admission.score(work(200))
    first = asyncio.create_task(door.admission.score(work(2000)))
    await asyncio.sleep(0.02)
    with pytest.raises(Unavailable) as refused:
        await door.admission.score(work(2000, seconds=0.5))
    assert refused.value.reason == "deadline"
    assert refused.value.retry_after is not None
    assert refused.value.retry_after >= 1
    small = await door.admission.score(work(1, seconds=0.5))
    assert len(small.verdicts) == 1, "round-robin: a small call does not wait for a large one's queue"
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_direct_calls_that_miss_their_deadline_are_aborted_whole() -> None:
    engine = ScriptedEngine(seconds=10)
    door = Door(engine)
    begun = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await door.admission.score(work(40, seconds=0.2))
    assert time.monotonic() - begun < 5
    await asyncio.sleep(0.01)
    assert (engine.running, door.window.running, door.window.queued) == (0, 0, 0)


async def test_a_deadline_already_past_is_not_admitted() -> None:
    door = Door(ScriptedEngine())
    with pytest.raises(DeadlineExceeded):
        await door.admission.score(work(1, seconds=-1))


async def test_idle_waits_for_the_last_call() -> None:
    door = Door(ScriptedEngine(seconds=0.01))
    await asyncio.wait_for(door.admission.idle(), 1)
    call = asyncio.create_task(door.admission.score(work(20)))
    await asyncio.sleep(0.01)
    idle = asyncio.create_task(door.admission.idle())
    await asyncio.sleep(0.01)
    assert not idle.done()
    await call
    await asyncio.wait_for(idle, 1)


async def test_all_calls_end_when_the_engine_cannot_go_on() -> None:
    door = Door(ScriptedEngine(stuck=True))
    calls = [asyncio.create_task(door.admission.score(work(n))) for n in (2, 3, 9)]
    await asyncio.sleep(0.01)
    door.admission.fail_all(EngineDead("The engine has died."))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, EngineDead) for result in results)


class Tracing(ScriptedEngine):
    """Writes traces until its deadline, then needs the whole engine for 5 ms per verdict, as a small machine does."""

    machine = asyncio.Lock()

    async def score(self, job: Job, mode: Mode, budget: int, deadline: float | None) -> AsyncGenerator[Verdict]:
        assert deadline is not None
        await asyncio.sleep(max(0.0, deadline - time.monotonic()))
        for index in range(len(job.passages)):
            async with self.machine:
                await asyncio.sleep(0.005)
            yield Verdict(index, 0.0, Status.DEADLINE, "", 50, 0, 0, False)


async def test_a_reasoning_call_of_many_times_the_seats_is_answered_by_its_deadline() -> None:
    """Traces end early enough for the documents that still wait to get their direct verdict."""
    door = Door(Tracing(), documents=1000, tokens=100_000, seats=16)
    door.throughput.suppose(Mode.DIRECT, 10.0 / 0.005)
    begun = time.monotonic()
    job = Job(call="c", query="q", passages=tuple(f"passage {n}" for n in range(240)))
    answer = await door.admission.score(Work(job, Mode.REASONING, 100, begun + 3.0, (110.0,) * 240))
    assert len(answer.verdicts) == 240
    assert 1.0 < time.monotonic() - begun < 3.0 + 0.9, "the direct verdicts alone take 1.2 s"
