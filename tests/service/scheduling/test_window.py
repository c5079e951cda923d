"""Documents of several calls share the engine's seats fairly, and a call that ends gives its seats back."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import AsyncGenerator, Callable, Sequence

import pytest

from service.engine import Begun, Completion, Output, Prefix, Prompt, Rest, Scoring
from service.errors import EngineDead, EngineFailed
from service.scheduling.throughput import Throughput
from service.scheduling.window import Window
from service.scheduling.work import Work
from service.telemetry.logs import request_id
from tests.fakes import ScriptedEngine, ids_of_text, text_of
from tests.scripted_time import now as loop_time
from tests.scripted_time import scripted_time
from tests.waiting import turns


def work(
    passages: Sequence[str],
    call: str = "call",
    priority: int = 1,
    *,
    tokens: int = 10,
    prefix: int = 10,
    budget: int = 0,
) -> Work:
    """A call whose documents are of so many tokens at least, behind a prefix of so many."""
    return Work(
        call=call,
        prefix=Prefix(ids_of_text("query", prefix), 1000),
        rests=[Rest(ids_of_text(passage, tokens), truncated=False) for passage in passages],
        answers=(1, 2),
        scoring=Scoring.REASONING if budget else Scoring.DIRECT,
        budget=budget,
        priority=priority,
        deadline=loop_time() + 60,
    )


def log_odds(completion: Completion) -> float:
    return completion.answers[0] - completion.answers[1]


def texts(count: int, name: str = "passage") -> list[str]:
    return [f"{name} {n}" for n in range(count)]


async def until(true: Callable[[], bool]) -> None:
    """At every thousandth of a second of the loop's time, for a minute of it."""
    deadline = loop_time() + 60
    while not true():
        assert loop_time() < deadline
        await asyncio.sleep(0.001)


def window_over(
    engine: ScriptedEngine,
    size: int,
    throughput: Throughput | None = None,
    clock: Callable[[], float] = loop_time,
) -> Window:
    return Window(engine, size, throughput or Throughput(loop_time), clock)


def documents_by_call(engine: ScriptedEngine) -> list[tuple[str, int]]:
    return [(job.call, len(job.passages)) for job in engine.jobs]


@scripted_time
async def test_completions_come_back_in_the_order_of_the_passages() -> None:
    engine = ScriptedEngine(log_odds=lambda _, passage: float(passage.split()[1]), window=7)
    answer = await window_over(engine, 7).run(work(texts(100)))
    assert [each.index for each in answer.completions] == list(range(100))
    assert [log_odds(each) for each in answer.completions] == [float(n) for n in range(100)]


@scripted_time
async def test_never_more_documents_than_seats() -> None:
    engine = ScriptedEngine(seconds=0.001)
    window = window_over(engine, 8)
    await asyncio.gather(*(window.run(work(texts(30), call=f"c{n}")) for n in range(5)))
    assert engine.most_running == 8
    assert (window.running, window.queued, window.calls) == (0, 0, 0)


@scripted_time
async def test_a_call_alone_holds_every_seat_and_half_of_them_while_another_waits() -> None:
    engine = ScriptedEngine(seconds=0.01)
    window = window_over(engine, 8)
    large = asyncio.create_task(window.run(work(texts(200), call="large")))
    await turns()
    assert documents_by_call(engine) == [("large", 8)]
    other = asyncio.create_task(window.run(work(texts(200), call="other")))
    await asyncio.sleep(0.3)
    shares = {call: sum(n for c, n in documents_by_call(engine)[-40:] if c == call) for call in ("large", "other")}
    assert abs(shares["large"] - shares["other"]) <= 4
    for task in (large, other):
        task.cancel()
    await asyncio.gather(large, other, return_exceptions=True)


@scripted_time
async def test_a_small_call_is_through_long_before_the_large_one_that_came_first() -> None:
    window = window_over(ScriptedEngine(seconds=0.002), 8)
    large = asyncio.create_task(window.run(work(texts(400), call="large")))
    await asyncio.sleep(0.02)
    await window.run(work(texts(8), call="small"))
    assert not large.done()
    assert window.queued > 200
    await large


@scripted_time
async def test_where_others_come_and_go_seats_are_left_for_the_next() -> None:
    now = [0.0]
    engine = ScriptedEngine(seconds=0.005)
    window = window_over(engine, 40, clock=lambda: now[0])
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


@scripted_time
async def test_a_better_class_goes_first() -> None:
    engine = ScriptedEngine(seconds=0.002)
    window = window_over(engine, 2)
    order: list[str] = []

    async def run(name: str, priority: int) -> None:
        await window.run(work(texts(10), call=name, priority=priority))
        order.append(name)

    await asyncio.gather(run("last", 2), run("middle", 1), run("first", 0))
    assert order == ["first", "middle", "last"]


@scripted_time
async def test_waiting_makes_up_for_a_lower_class() -> None:
    """Twenty seconds of waiting lift the last class to the first, so a stream of urgent calls cannot starve it."""
    now = [0.0]
    engine = ScriptedEngine(seconds=0.001)
    window = window_over(engine, 1, clock=lambda: now[0])
    blocker = asyncio.create_task(window.run(work(texts(3), call="blocker", priority=0)))
    patient = asyncio.create_task(window.run(work(texts(1), call="patient", priority=2)))
    await asyncio.sleep(0)
    now[0] = 21.0
    urgent = asyncio.create_task(window.run(work(texts(3), call="urgent", priority=0)))
    await asyncio.gather(blocker, patient, urgent)
    order = [job.call for job in engine.jobs]
    assert order.index("patient") < len(order) - 1 - order[::-1].index("urgent")


@scripted_time
async def test_a_document_the_engine_fails_on_is_tried_once_more_alone() -> None:
    engine = ScriptedEngine(fail_once={"passage 3"})
    answer = await window_over(engine, 8).run(work(texts(8)))
    assert len(answer.completions) == 8
    assert ("call", 1) in documents_by_call(engine)


@scripted_time
async def test_a_document_that_fails_again_ends_the_call_with_its_index() -> None:
    engine = ScriptedEngine(fail_always={"passage 13"}, seconds=0.001)
    window = window_over(engine, 4)
    with pytest.raises(EngineFailed, match="document 13") as failed:
        await window.run(work(texts(20)))
    assert failed.value.indices == (13,)
    await turns()
    assert (window.running, engine.running) == (0, 0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@scripted_time
async def test_a_verdict_that_is_no_number_is_a_failure_and_never_a_score(value: float) -> None:
    engine = ScriptedEngine(log_odds=lambda _, passage: value if passage == "passage 1" else 0.0)
    with pytest.raises(EngineFailed, match="document 1,"):
        await window_over(engine, 4).run(work(texts(3)))


@scripted_time
async def test_a_dead_engine_is_not_tried_again() -> None:
    engine = ScriptedEngine(dead=True)
    with pytest.raises(EngineDead):
        await window_over(engine, 4).run(work(texts(3)))
    assert len(engine.jobs) == 1


@scripted_time
async def test_cancelling_a_call_frees_its_seats_for_the_next() -> None:
    engine = ScriptedEngine(stuck=True)
    window = window_over(engine, 4)
    stuck = asyncio.create_task(window.run(work(texts(50))))
    await turns()
    assert (window.running, window.queued) == (4, 46)
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)
    engine.stuck = False
    await window.run(work(texts(50), call="next"))
    assert (window.running, engine.running) == (0, 0)


@scripted_time
async def test_seats_are_not_lost_where_a_call_ends_in_the_moment_in_which_it_would_get_them() -> None:
    """The cancelled call's own task comes to its turn behind the filling that was due before."""
    window = window_over(ScriptedEngine(stuck=True), 4)
    call = asyncio.create_task(window.run(work(texts(2))))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await turns()
    assert (window.running, window.calls) == (0, 0)


@scripted_time
async def test_what_is_logged_on_a_call_s_documents_bears_its_own_name() -> None:
    """Whichever call's verdict it is that sets a seat free for them."""
    asked: list[tuple[str, str | None]] = []

    class Naming(ScriptedEngine):
        async def submit(self, prompts: Sequence[Prompt]) -> AsyncGenerator[Output]:
            asked.append((prompts[0].call, request_id.get()))
            async for output in super().submit(prompts):
                yield output

    window = window_over(Naming(seconds=0.001), 2)

    async def call(name: str) -> None:
        request_id.set(name)
        await window.run(work(texts(5), call=name))

    await asyncio.gather(*(asyncio.create_task(call(name)) for name in "abc"))
    assert {name for name, _ in asked} == {"a", "b", "c"}
    assert all(name == bears for name, bears in asked)


@scripted_time
async def test_the_rate_of_work_is_learned() -> None:
    throughput = Throughput(loop_time)
    window = window_over(ScriptedEngine(seconds=0.03), 4, throughput)
    await window.run(work(texts(100)))
    begun = loop_time()
    await window.run(work(texts(100)))
    # 10 tokens a document: the same again would take as long as it just took
    assert throughput.seconds_for(Scoring.DIRECT, 1000.0) == pytest.approx(loop_time() - begun, rel=0.2)
    assert throughput.seconds_for(Scoring.REASONING, 1000.0) == 0.0


@dataclasses.dataclass
class Begins(ScriptedEngine):
    """Says of all prompts that their reasoning begins, and ends it when told to."""

    end: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    async def submit(self, prompts: Sequence[Prompt]) -> AsyncGenerator[Output]:
        for index in range(len(prompts)):
            yield Begun(index)
        await self.end.wait()
        async for output in super().submit(prompts):
            yield output


@scripted_time
async def test_the_engine_is_handed_no_more_tokens_than_keep_it_busy() -> None:
    engine = ScriptedEngine(stuck=True, window_tokens=100, behind_tokens=50)
    window = window_over(engine, 64)
    call = asyncio.create_task(window.run(work(texts(30), tokens=20)))
    await turns()
    assert window.running == 5, "30 for the first with its prefix, then 20 each until 100 are reached"
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


@scripted_time
async def test_documents_whose_reasoning_has_begun_make_room_for_the_next_up_to_the_slots() -> None:
    engine = Begins(window_tokens=100, behind_tokens=50)
    window = window_over(engine, 12)
    call = asyncio.create_task(window.run(work(texts(30), tokens=20, budget=8)))
    await until(lambda: window.running == 12)
    assert window.queued == 18
    engine.end.set()
    assert len((await call).completions) == 30


@scripted_time
async def test_reasoning_that_waits_does_not_keep_direct_scoring_out() -> None:
    engine = ScriptedEngine(stuck=True, window_tokens=100, behind_tokens=50)
    window = window_over(engine, 64)
    calls = [
        asyncio.create_task(window.run(work(texts(30), call, tokens=20, budget=budget)))
        for call, budget in (("reasoning", 8), ("direct", 0))
    ]
    await turns()
    assert documents_by_call(engine) == [("reasoning", 5), ("direct", 5)]
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


@scripted_time
async def test_beside_a_new_call_one_that_has_had_its_share_takes_little_of_the_engine() -> None:
    engine = ScriptedEngine(seconds=0.002, window_tokens=2000, behind_tokens=100)
    window = window_over(engine, 64)
    large = asyncio.create_task(window.run(work(texts(400), "large", tokens=100)))
    await until(lambda: window.queued < 350)
    small = asyncio.create_task(window.run(work(texts(10), "small", tokens=100)))
    await until(lambda: any(call == "small" for call, _ in documents_by_call(engine)))
    at = [call for call, _ in documents_by_call(engine)].index("small")
    await small
    beside = sum(count for call, count in documents_by_call(engine)[at + 1 :] if call == "large")
    assert beside <= 20, "each of the small call's documents takes as long as one of the large call's"
    large.cancel()
    await asyncio.gather(large, return_exceptions=True)


@scripted_time
async def test_where_small_calls_come_and_go_a_large_one_leaves_them_room() -> None:
    """For a second after the last: the next one then finds less before it in the engine."""
    engine = ScriptedEngine(seconds=0.01, window_tokens=2000, behind_tokens=400)
    window = window_over(engine, 64)

    async def most_at_once() -> int:
        found = []
        for _ in range(50):
            await asyncio.sleep(0.004)
            found.append(window.running)
        return max(found)

    large = asyncio.create_task(window.run(work(texts(10_000), "large", tokens=50)))
    alone = await most_at_once()
    await window.run(work(texts(2), "small", tokens=50))
    beside = await most_at_once()
    await asyncio.sleep(1.0)
    assert (alone, beside, await most_at_once()) == (40, 24, 40)
    large.cancel()
    await asyncio.gather(large, return_exceptions=True)


@scripted_time
async def test_the_shortest_documents_of_a_call_come_first() -> None:
    engine = ScriptedEngine()
    await window_over(engine, 1).run(work(["x" * 400, "x" * 4, "x" * 200], tokens=1))
    assert [len(text_of(job.prompts[0].rest)) for job in engine.jobs] == [4, 200, 400]


@scripted_time
async def test_queued_tokens_are_counted_exactly() -> None:
    window = window_over(ScriptedEngine(stuck=True), 2)
    asked = work(texts(10), tokens=7, prefix=13, budget=5)
    assert asked.tokens == 13 + 10 * (7 + 5)
    call = asyncio.create_task(window.run(asked))
    await asyncio.sleep(0)
    assert window.queued_tokens() == {Scoring.DIRECT: 0, Scoring.REASONING: asked.tokens}
    await turns()
    assert window.queued_tokens()[Scoring.REASONING] == 8 * (7 + 5), "the prefix went with the first"
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
