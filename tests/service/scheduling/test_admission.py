"""The door: what is let in, what is turned away and with which advice, and what a deadline does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence

import pytest

from contract.reasoning import Status
from service.engine import Output, Prefix, Prompt, Rest, Scoring
from service.errors import BodyTooLarge, DeadlineExceeded, EngineDead, Unavailable
from service.lifecycle import Lifecycle, Phase
from service.scheduling.admission import Admission
from service.scheduling.shares import QueueLimits
from service.scheduling.throughput import Throughput
from service.scheduling.window import Window
from service.scheduling.work import Answer, Incoming, Work
from tests.fakes import ScriptedEngine, ids_of_text, scripted_completion


class Door:
    """An admission over a scripted engine, with everything a test turns."""

    def __init__(self, engine: ScriptedEngine, *, documents: int = 100, tokens: int = 10_000, seats: int = 4) -> None:
        self.lifecycle = Lifecycle()
        self.lifecycle.phase = Phase.READY
        self.throughput = Throughput()
        self.window = Window(engine, seats, self.throughput)
        limits = QueueLimits(documents=documents, tokens=tokens)
        self.admission = Admission(self.window, self.lifecycle, limits, self.throughput)

    async def score(self, work: Work, least_tokens: int = 0) -> Answer:
        """Have a call admitted that is encoded as soon as it is asked for."""

        async def encode() -> Work:
            return work

        return await self.admission.score(incoming(work, least_tokens), encode)


def incoming(work: Work, least_tokens: int = 0) -> Incoming:
    return Incoming(work.call, len(work.rests), least_tokens, work.scoring, work.priority, work.deadline, work.key)


def work(count: int, *, seconds: float = 60.0, cost: int = 10, priority: int = 1, budget: int = 0) -> Work:
    """A call of documents that are worth `cost` tokens each, `budget` of them reasoning."""
    return Work(
        call=f"c{count}",
        prefix=Prefix((), 1000),
        rests=[Rest(ids_of_text(f"{n}", cost - budget), truncated=False) for n in range(count)],
        answers=(1, 2),
        scoring=Scoring.REASONING if budget else Scoring.DIRECT,
        budget=budget,
        priority=priority,
        deadline=time.monotonic() + seconds,
    )


@pytest.mark.parametrize(
    ("phase", "reason"),
    [(Phase.STARTING, "not_ready"), (Phase.DRAINING, "draining"), (Phase.DEAD, "not_ready")],
)
async def test_only_a_server_that_serves_admits(phase: Phase, reason: str) -> None:
    door = Door(ScriptedEngine())
    door.lifecycle.phase = phase
    with pytest.raises(Unavailable) as refused:
        await door.score(work(1))
    assert refused.value.reason == reason
    assert refused.value.retry_after
    assert refused.value.message


async def test_a_server_about_to_leave_still_serves() -> None:
    door = Door(ScriptedEngine())
    door.lifecycle.phase = Phase.LEAVING
    assert len((await door.score(work(3))).completions) == 3


async def test_a_full_queue_turns_a_call_away_and_takes_it_later() -> None:
    engine = ScriptedEngine(seconds=0.005)
    door = Door(engine, documents=50)
    first = asyncio.create_task(door.score(work(45)))
    await asyncio.sleep(0.01)
    with pytest.raises(Unavailable) as refused:
        await door.score(work(30))
    assert refused.value.reason == "queue_full"
    await first
    assert len((await door.score(work(30))).completions) == 30


async def test_the_queue_is_bounded_in_tokens_too() -> None:
    door = Door(ScriptedEngine(stuck=True), tokens=1000)
    first = asyncio.create_task(door.score(work(20, cost=40)))
    await asyncio.sleep(0.01)
    with pytest.raises(Unavailable):
        await door.score(work(20, cost=40))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_a_call_that_could_never_fit_is_too_large_and_not_asked_to_retry() -> None:
    door = Door(ScriptedEngine(), documents=50, tokens=1000)
    for too_much in (work(51), work(10, cost=101)):
        with pytest.raises(BodyTooLarge) as refused:
            await door.score(too_much)
        assert refused.value.retry_after is None


async def test_a_wait_beyond_the_deadline_is_refused_at_the_door() -> None:
    door = Door(ScriptedEngine(seconds=0.01), documents=10_000, tokens=1_000_000)
    await door.score(work(200))
    first = asyncio.create_task(door.score(work(2000)))
    await asyncio.sleep(0.02)
    with pytest.raises(Unavailable) as refused:
        await door.score(work(2000, seconds=0.5))
    assert refused.value.reason == "deadline"
    assert refused.value.retry_after is not None
    assert refused.value.retry_after >= 1
    small = await door.score(work(1, seconds=0.5))
    assert len(small.completions) == 1, "round-robin: a small call does not wait for a large one's queue"
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_direct_calls_that_miss_their_deadline_are_aborted_whole() -> None:
    engine = ScriptedEngine(seconds=10)
    door = Door(engine)
    begun = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await door.score(work(40, seconds=0.2))
    assert time.monotonic() - begun < 5
    await asyncio.sleep(0.01)
    assert (engine.running, door.window.running, door.window.queued) == (0, 0, 0)


async def test_a_deadline_already_past_is_not_admitted() -> None:
    door = Door(ScriptedEngine())
    with pytest.raises(DeadlineExceeded):
        await door.score(work(1, seconds=-1))


async def test_idle_waits_for_the_last_call() -> None:
    door = Door(ScriptedEngine(seconds=0.01))
    await asyncio.wait_for(door.admission.idle(), 1)
    call = asyncio.create_task(door.score(work(20)))
    await asyncio.sleep(0.01)
    idle = asyncio.create_task(door.admission.idle())
    await asyncio.sleep(0.01)
    assert not idle.done()
    await call
    await asyncio.wait_for(idle, 1)


async def test_all_calls_end_when_the_engine_cannot_go_on() -> None:
    door = Door(ScriptedEngine(stuck=True))
    calls = [asyncio.create_task(door.score(work(n))) for n in (2, 3, 9)]
    await asyncio.sleep(0.01)
    door.admission.fail_all(EngineDead("The engine has died."))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, EngineDead) for result in results)


class Reasoning(ScriptedEngine):
    """Reasons until its deadline, then needs the whole engine for 5 ms per document, as a small machine does."""

    machine = asyncio.Lock()

    async def submit(self, prompts: Sequence[Prompt]) -> AsyncGenerator[Output]:
        deadline = prompts[0].deadline
        assert deadline is not None
        await asyncio.sleep(max(0.0, deadline - time.monotonic()))
        for index, prompt in enumerate(prompts):
            async with self.machine:
                await asyncio.sleep(0.005)
            yield scripted_completion(index, prompt, 0.0, Status.DEADLINE, "")


async def test_a_reasoning_call_of_many_times_the_slots_is_answered_by_its_deadline() -> None:
    """Reasoning ends early enough for the documents that still wait to get their direct verdict."""
    door = Door(Reasoning(), documents=1000, tokens=100_000, seats=16)
    door.throughput.suppose(Scoring.DIRECT, 10.0 / 0.005)
    begun = time.monotonic()
    answer = await door.score(work(240, seconds=3.0, cost=110, budget=100))
    assert len(answer.completions) == 240
    assert 1.0 < time.monotonic() - begun < 3.0 + 0.9, "the direct verdicts alone take 1.2 s"


async def test_what_its_bytes_already_show_to_be_too_much_is_never_encoded() -> None:
    door = Door(ScriptedEngine(), documents=50, tokens=1000)
    encoded: list[Work] = []

    async def ask(asked: Work, least_tokens: int = 0) -> None:
        async def encode() -> Work:
            encoded.append(asked)
            return asked

        await door.admission.score(incoming(asked, least_tokens), encode)

    for too_much, least in ((work(51), 0), (work(10), 1001)):
        with pytest.raises(BodyTooLarge):
            await ask(too_much, least)
    with pytest.raises(DeadlineExceeded):
        await ask(work(1, seconds=-1))
    door.throughput.suppose(Scoring.DIRECT, 10.0)
    waiting = asyncio.create_task(Door.score(door, work(50)))
    await asyncio.sleep(0)
    door.lifecycle.phase = Phase.DRAINING
    with pytest.raises(Unavailable):
        await ask(work(1))
    assert encoded == []
    door.lifecycle.phase = Phase.READY
    await waiting
    await ask(work(1))
    assert len(encoded) == 1


async def test_documents_that_are_being_encoded_count_as_waiting() -> None:
    door = Door(ScriptedEngine(), documents=50)
    encoding = asyncio.Event()

    async def slowly() -> Work:
        await encoding.wait()
        return work(40)

    first = asyncio.create_task(door.admission.score(incoming(work(40)), slowly))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as refused:
        await door.score(work(11))
    assert refused.value.reason == "queue_full"
    await door.score(work(10))
    encoding.set()
    assert len((await first).completions) == 40


async def test_a_deadline_holds_while_a_call_is_encoded_and_so_does_the_engine_s_death() -> None:
    door = Door(ScriptedEngine())
    cancelled: list[str] = []

    async def for_ever() -> Work:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("encoding")
            raise
        raise AssertionError

    with pytest.raises(DeadlineExceeded):
        await door.admission.score(incoming(work(3, seconds=0.1)), for_ever)
    dying = asyncio.create_task(door.admission.score(incoming(work(3)), for_ever))
    await asyncio.sleep(0.01)
    door.admission.fail_all(EngineDead("The engine has died."))
    with pytest.raises(EngineDead):
        await dying
    await asyncio.sleep(0)
    assert cancelled == ["encoding", "encoding"]
    await asyncio.wait_for(door.admission.idle(), 1)
