"""Documents of several calls share the engine's seats fairly, and a call that ends gives its seats back."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Sequence

import pytest

from service.engine import Job, Mode, Verdict
from service.errors import EngineDead, EngineFailed, PassageTooLong
from service.scheduling.throughput import Throughput
from service.scheduling.window import FairWindow, Work
from service.telemetry.logs import request_id
from tests.fakes import ScriptedEngine


def work(passages: Sequence[str], call: str = "call", priority: int = 1, query: str = "query") -> Work:
    job = Job(call=call, query=query, passages=tuple(passages), priority=priority)
    return Work(job, Mode.DIRECT, 0, time.monotonic() + 60, (10.0,) * len(passages))


def texts(count: int, name: str = "passage") -> list[str]:
    return [f"{name} {n}" for n in range(count)]


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0)


def documents_by_call(engine: ScriptedEngine) -> list[tuple[str, int]]:
    return [(job.call, len(job.passages)) for job in engine.jobs]


async def test_verdicts_come_back_in_the_order_of_the_passages() -> None:
    engine = ScriptedEngine(log_odds=lambda _, passage: float(passage.split()[1]), window=7)
    answer = await FairWindow(engine, 7, Throughput()).run(work(texts(100)))
    assert [verdict.index for verdict in answer.verdicts] == list(range(100))
    assert [verdict.log_odds for verdict in answer.verdicts] == [float(n) for n in range(100)]


async def test_never_more_documents_than_seats() -> None:
    engine = ScriptedEngine(seconds=0.001)
    window = FairWindow(engine, 8, Throughput())
    await asyncio.gather(*(window.run(work(texts(30), call=f"c{n}")) for n in range(5)))
    assert engine.most_running == 8
    assert (window.running, window.queued, window.calls) == (0, 0, 0)


async def test_a_call_alone_holds_every_seat_and_half_of_them_while_another_waits() -> None:
    engine = ScriptedEngine(seconds=0.01)
    window = FairWindow(engine, 8, Throughput())
    large = asyncio.create_task(window.run(work(texts(200), call="large")))
    await asyncio.sleep(0.005)
    assert documents_by_call(engine) == [("large", 8)]
    other = asyncio.create_task(window.run(work(texts(200), call="other")))
    await asyncio.sleep(0.3)
    shares = {call: sum(n for c, n in documents_by_call(engine)[-40:] if c == call) for call in ("large", "other")}
    assert abs(shares["large"] - shares["other"]) <= 4
    for task in (large, other):
        task.cancel()
    await asyncio.gather(large, other, return_exceptions=True)


async def test_a_small_call_is_through_long_before_the_large_one_that_came_first() -> None:
    window = FairWindow(ScriptedEngine(seconds=0.002), 8, Throughput())
    large = asyncio.create_task(window.run(work(texts(400), call="large")))
    await asyncio.sleep(0.02)
    await window.run(work(texts(8), call="small"))
    assert not large.done()
    assert window.queued > 200
    await large


async def test_where_others_come_and_go_seats_are_left_for_the_next() -> None:
    now = [0.0]
    engine = ScriptedEngine(seconds=0.005)
    window = FairWindow(engine, 40, Throughput(), clock=lambda: now[0])
    large = asyncio.create_task(window.run(work(texts(4000), call="large")))
    await until(lambda: window.running == 40)
    await window.run(work(texts(1), call="small"))
    await until(lambda: window.running == 24)
    await asyncio.sleep(0.05)
    assert window.running <= 24
    now[0] = 2.0
    await until(lambda: window.running == 40)
    large.cancel()
    await asyncio.gather(large, return_exceptions=True)


async def test_a_better_class_goes_first() -> None:
    engine = ScriptedEngine(seconds=0.002)
    window = FairWindow(engine, 2, Throughput())
    order: list[str] = []

    async def run(name: str, priority: int) -> None:
        await window.run(work(texts(10), call=name, priority=priority))
        order.append(name)

    await asyncio.gather(run("last", 2), run("middle", 1), run("first", 0))
    assert order == ["first", "middle", "last"]


async def test_waiting_makes_up_for_a_lower_class() -> None:
    """Twenty seconds of waiting lift the last class to the first, so a stream of urgent calls cannot starve it."""
    now = [0.0]
    engine = ScriptedEngine(seconds=0.001)
    window = FairWindow(engine, 1, Throughput(), clock=lambda: now[0])
    blocker = asyncio.create_task(window.run(work(texts(3), call="blocker", priority=0)))
    patient = asyncio.create_task(window.run(work(texts(1), call="patient", priority=2)))
    await asyncio.sleep(0)
    now[0] = 21.0
    urgent = asyncio.create_task(window.run(work(texts(3), call="urgent", priority=0)))
    await asyncio.gather(blocker, patient, urgent)
    order = [job.call for job in engine.jobs]
    assert order.index("patient") < len(order) - 1 - order[::-1].index("urgent")


async def test_a_document_the_engine_fails_on_is_tried_once_more_alone() -> None:
    engine = ScriptedEngine(fail_once={"passage 3"})
    answer = await FairWindow(engine, 8, Throughput()).run(work(texts(8)))
    assert len(answer.verdicts) == 8
    assert ("call", 1) in documents_by_call(engine)


async def test_a_document_that_fails_again_ends_the_call_with_its_index() -> None:
    engine = ScriptedEngine(fail_always={"passage 13"}, seconds=0.001)
    window = FairWindow(engine, 4, Throughput())
    with pytest.raises(EngineFailed, match="document 13") as failed:
        await window.run(work(texts(20)))
    assert failed.value.indices == (13,)
    await asyncio.sleep(0.01)
    assert (window.running, engine.running) == (0, 0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
async def test_a_verdict_that_is_no_number_is_a_failure_and_never_a_score(value: float) -> None:
    engine = ScriptedEngine(log_odds=lambda _, passage: value if passage == "passage 1" else 0.0)
    with pytest.raises(EngineFailed, match="document 1,"):
        await FairWindow(engine, 4, Throughput()).run(work(texts(3)))


async def test_a_dead_engine_is_not_tried_again() -> None:
    engine = ScriptedEngine(dead=True)
    with pytest.raises(EngineDead):
        await FairWindow(engine, 4, Throughput()).run(work(texts(3)))
    assert len(engine.jobs) == 1


async def test_cancelling_a_call_frees_its_seats_for_the_next() -> None:
    engine = ScriptedEngine(stuck=True)
    window = FairWindow(engine, 4, Throughput())
    stuck = asyncio.create_task(window.run(work(texts(50))))
    await asyncio.sleep(0.01)
    assert (window.running, window.queued) == (4, 46)
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)
    engine.stuck = False
    await asyncio.wait_for(window.run(work(texts(50), call="next")), 5)
    assert (window.running, engine.running) == (0, 0)


async def test_seats_are_not_lost_where_a_call_ends_in_the_moment_in_which_it_would_get_them() -> None:
    """The cancelled call's own task comes to its turn behind the filling that was due before."""
    window = FairWindow(ScriptedEngine(stuck=True), 4, Throughput())
    call = asyncio.create_task(window.run(work(texts(2))))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await asyncio.sleep(0.01)
    assert (window.running, window.calls) == (0, 0)


async def test_what_is_logged_on_a_call_s_documents_bears_its_own_name() -> None:
    """Whichever call's verdict it is that sets a seat free for them."""
    asked: list[tuple[str, str | None]] = []

    class Naming(ScriptedEngine):
        async def score(self, job: Job, mode: Mode, budget: int, deadline: float | None) -> AsyncGenerator[Verdict]:
            asked.append((job.call, request_id.get()))
            async for verdict in super().score(job, mode, budget, deadline):
                yield verdict

    window = FairWindow(Naming(seconds=0.001), 2, Throughput())

    async def call(name: str) -> None:
        request_id.set(name)
        await window.run(work(texts(5), call=name))

    await asyncio.gather(*(asyncio.create_task(call(name)) for name in "abc"))
    assert {name for name, _ in asked} == {"a", "b", "c"}
    assert all(name == bears for name, bears in asked)


async def test_the_rate_of_work_is_learned() -> None:
    throughput = Throughput()
    window = FairWindow(ScriptedEngine(seconds=0.03), 4, throughput)
    await window.run(work(texts(100)))
    begun = time.monotonic()
    await window.run(work(texts(100)))
    # 10 units a document: the same again would take as long as it just took
    assert throughput.seconds_for(Mode.DIRECT, 1000.0) == pytest.approx(time.monotonic() - begun, rel=0.7)
    assert throughput.seconds_for(Mode.REASONING, 1000.0) == 0.0


async def test_a_passage_too_long_is_named_by_its_index_in_the_call() -> None:
    """The engine sees a slice of the call and knows the document by its place there."""

    class Refusing(ScriptedEngine):
        async def score(self, job: Job, mode: Mode, budget: int, deadline: float | None) -> AsyncGenerator[Verdict]:
            if "passage 17" in job.passages:
                raise PassageTooLong(job.passages.index("passage 17"), 100)
            async for verdict in super().score(job, mode, budget, deadline):
                yield verdict

    with pytest.raises(PassageTooLong, match="Document 17 has more than the 100 tokens"):
        await FairWindow(Refusing(seconds=0.001), 4, Throughput()).run(work(texts(30)))
