"""What waits for the engine is shared by keys: none shuts out another, and when room runs out the oldest finish."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.app import create_app
from service.errors import Unavailable
from service.scheduling.calls.queued import QueuedCall
from service.scheduling.queue import CallQueue
from service.scheduling.shares import NoRoom, QueueLimits, make_room
from service.scheduling.work import Answer, Work
from service.settings import Settings
from tests.fakes import ScriptedEngine
from tests.service.scheduling.test_admission import Door, incoming, work
from tests.service.serving import serving

LIMITS = QueueLimits(documents=100, tokens=1000, several_keys=True)
ONE_KEY = replace(LIMITS, several_keys=False)


@dataclass(eq=False)
class Call:
    key: str
    documents: int
    tokens: float = 0


def test_a_key_has_half_of_the_room_and_always_one_call() -> None:
    assert make_room([], "a", 100, 1000, LIMITS) == []
    assert make_room([Call("a", 30)], "a", 20, 0, LIMITS) == []
    assert make_room([Call("a", 30)], "a", 21, 0, LIMITS) == NoRoom(30, of_key=True)
    assert make_room([Call("a", 1, 400)], "a", 1, 101, LIMITS) == NoRoom(1, of_key=True)
    assert make_room([Call("a", 30), Call("b", 40)], "b", 10, 0, LIMITS) == []
    assert make_room([Call("a", 90)], "a", 10, 0, ONE_KEY) == []


def test_the_newest_call_of_the_key_that_takes_the_most_makes_room() -> None:
    oldest, other, newest = Call("a", 30), Call("b", 40), Call("a", 20)
    assert make_room([oldest, other, newest], "c", 20, 0, LIMITS) == [newest]
    assert make_room([oldest, other, newest], "c", 31, 0, LIMITS) == [newest, other], "then b takes the most"
    assert make_room([Call("a", 100), Call("b", 0)], "b", 1, 0, LIMITS) != NoRoom(100, of_key=False)


def test_tokens_count_as_documents_do() -> None:
    large, small = Call("a", 1, 800), Call("b", 60, 60)
    assert make_room([small, large], "c", 10, 300, LIMITS) == [large]
    assert make_room([small, large], "c", 41, 0, LIMITS) == [large, small], "41 documents: they take less than b's 60"


def test_who_takes_the_most_is_refused_and_nobody_else() -> None:
    assert make_room([Call("a", 30), Call("b", 60)], "c", 70, 0, LIMITS) == NoRoom(90, of_key=False)
    assert make_room([Call("a", 50), Call("b", 50)], "a", 1, 0, LIMITS) == NoRoom(50, of_key=True)
    assert make_room([Call("a", 60), Call("a", 40)], "a", 1, 0, ONE_KEY) == NoRoom(100, of_key=False)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60), st.integers(0, 600)), max_size=12),
    st.sampled_from("abcd"),
    st.integers(1, 100),
    st.integers(0, 1000),
)
def test_who_goes_takes_more_than_who_comes_and_room_is_made(
    waiting: list[tuple[str, int, int]], key: str, documents: int, tokens: int
) -> None:
    calls = [Call(name, count, amount) for name, count, amount in waiting]
    going = make_room(calls, key, documents, tokens, LIMITS)
    if isinstance(going, NoRoom):
        return
    left = [call for call in calls if call not in going and call.documents]
    fits = (
        sum(call.documents for call in left) + documents <= LIMITS.documents
        and sum(call.tokens for call in left) + tokens <= LIMITS.tokens
    )
    assert fits
    assert key not in {call.key for call in going}


def of(key: str, count: int) -> Work:
    return replace(work(count), key=key)


async def begin(door: Door, asked: Work) -> asyncio.Task[Answer]:
    """A call that has been admitted or refused."""
    task = asyncio.create_task(door.score(asked))
    for _ in range(5):
        await asyncio.sleep(0)
    return task


def shared_door(engine: ScriptedEngine, *, documents: int) -> Door:
    door = Door(engine, documents=documents)
    door.admission._limits = QueueLimits(documents, 10_000, several_keys=True)
    return door


async def ended(*tasks: asyncio.Task[Answer]) -> list[Answer | BaseException]:
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_key_s_flood_leaves_another_s_calls_room() -> None:
    door = shared_door(ScriptedEngine(stuck=True), documents=100)
    flood = [await begin(door, of("greedy", 10)) for _ in range(20)]
    other = await begin(door, of("other", 40))
    assert sum(task.done() for task in flood) > 10
    assert not other.done()
    await ended(*flood, other)


async def test_the_newest_unfinished_call_of_the_greediest_is_told_to_come_again() -> None:
    engine = ScriptedEngine(stuck=True)
    door = shared_door(engine, documents=100)
    old, new = await begin(door, of("a", 30)), await begin(door, of("a", 20))
    other = await begin(door, of("b", 50))
    late = await begin(door, of("c", 20))
    for _ in range(5):
        await asyncio.sleep(0)
    assert [task.done() for task in (old, new, other, late)] == [False, False, True, False]
    refused = other.exception()
    assert isinstance(refused, Unavailable)
    assert refused.reason == "queue_full"
    assert refused.retry_after
    await ended(old, new, late)
    assert (door.window.running, door.window.queued, engine.running) == (0, 0, 0)


async def test_a_call_that_makes_room_while_it_is_encoded() -> None:
    door = shared_door(ScriptedEngine(stuck=True), documents=100)

    async def never() -> Work:
        await asyncio.Event().wait()
        raise AssertionError

    encoding = asyncio.create_task(door.admission.score(incoming(of("a", 100)), never))
    await asyncio.sleep(0)
    other = await begin(door, of("b", 10))
    assert isinstance(encoding.exception(), Unavailable)
    assert not other.done()
    await ended(other)


def served(queue: CallQueue, count: int) -> list[QueuedCall]:
    """Whose documents are handed out next."""
    calls = []
    for call, index in queue.take(lambda _: True):
        queue.charge(call, call.tokens[index])
        calls.append(call)
        if len(calls) == count:
            break
    return calls


def test_a_call_does_not_wait_for_another_key_s_many() -> None:
    queue = CallQueue(lambda: 0.0)
    flood = [queue.add([100] * 5, 1, "greedy") for _ in range(1000)]
    assert served(queue, 100) == [call for call in flood[:20] for _ in range(5)]
    other = queue.add([100] * 10, 1, "other")
    assert served(queue, 40).count(other) == 10, "within two turns"


def test_a_key_that_comes_back_goes_first_with_a_first_share_and_no_more_was_saved_up() -> None:
    queue = CallQueue(lambda: 0.0, first_tokens=1000, key_turn_tokens=500)
    flood = [queue.add([100] * 500, 1, "greedy") for _ in range(3)]
    served(queue, 600)
    small = queue.add([100] * 10, 1, "other")
    assert served(queue, 10) == [small] * 10
    queue.remove(small)
    again = queue.add([100] * 40, 1, "other")
    mine = served(queue, 40).count(again)
    assert 15 <= mine <= 25, "it had its first share a moment ago: half from now on"
    assert all(call.pending for call in flood)


def test_calls_that_have_waited_for_long_do_not_go_before_another_key_s() -> None:
    now = [0.0]
    queue = CallQueue(lambda: now[0])
    for _ in range(1000):
        queue.add([100] * 5, 1, "greedy")
    served(queue, 100)
    now[0] = 60.0
    served(queue, 30)
    other = queue.add([100] * 10, 1, "other")
    assert served(queue, 40).count(other) == 10


def test_a_large_call_gets_half_beside_another_key_s_stream_of_new_ones() -> None:
    queue = CallQueue(lambda: 0.0)
    large = queue.add([100] * 400, 1, "other")
    served(queue, 60)
    mine = 0
    for _ in range(20):
        new = [queue.add([100] * 10, 1, "greedy") for _ in range(4)]
        mine += served(queue, 40).count(large)
        for call in new:
            queue.remove(call)
    assert 300 <= mine <= 400


def test_a_large_call_is_behind_only_new_calls_of_keys_that_have_had_no_more() -> None:
    queue = CallQueue(lambda: 0.0)
    large = queue.add([100] * 400, 1, "other")
    served(queue, 60)
    queue.add([100], 1, "greedy")
    behind = queue.behind(0.0)
    assert behind(large)
    shares = {call.share for call in queue}
    [greedy] = [share for share in shares if share is not large.share]
    greedy.turns = large.share.turns + 1
    assert not queue.behind(0.0)(large)


def test_priorities_go_before_turns() -> None:
    queue = CallQueue(lambda: 0.0)
    low = queue.add([100] * 50, 2, "a")
    high = queue.add([100] * 50, 0, "b")
    assert served(queue, 50) == [high] * 50
    assert served(queue, 1) == [low]


def test_with_one_key_the_order_is_that_of_calls() -> None:
    one, plain = CallQueue(lambda: 0.0), CallQueue(lambda: 0.0)
    sizes = [[30] * 100, [500] * 3, [10], [900] * 7]
    for tokens in sizes:
        one.add(tokens, 1, "a")
        plain.add(tokens, 1)
    order = [[list(queue).index(call) for call in served(queue, sum(map(len, sizes)))] for queue in (one, plain)]
    assert order[0] == order[1]


KEYS = """
[[keys]]
name = "greedy"
secret = "greedy-secret-of-the-tests-012345"

[[keys]]
name = "other"
secret = "other-secret-of-the-tests-0123456"
"""


def test_over_http_a_flood_of_one_key_lets_another_s_call_in(tmp_path: Path) -> None:
    """The engine stands still: the flood is refused beyond its half, and the other key's call waits for its turn."""
    engine = ScriptedEngine()
    (tmp_path / "two.toml").write_text(KEYS)
    settings = Settings.model_validate(
        {"keys_file": tmp_path / "two.toml", "max_queued_documents": 40, "window": 1, "max_documents": 20}
    )
    service = create_app(settings, engine)
    greedy = {"Authorization": "Bearer greedy-secret-of-the-tests-012345"}
    other = {"Authorization": "Bearer other-secret-of-the-tests-0123456"}
    with serving(service.app) as url:
        assert httpx.get(f"{url}/info", headers=other).status_code == 200
        engine.stuck = True
        flood, mine = asyncio.run(_flood(url, greedy, other))
    assert mine == 504, "admitted: its own deadline ended it"
    assert flood.count(503) >= 10
    assert flood.count(504) >= 5


async def _flood(url: str, greedy: dict[str, str], other: dict[str, str]) -> tuple[list[int], int]:
    async def call(headers: dict[str, str], documents: int, milliseconds: int) -> int:
        body = {"query": "q", "documents": ["a"] * documents}
        headers = headers | {"X-Request-Timeout-Ms": str(milliseconds)}
        return (await client.post("/rerank", json=body, headers=headers)).status_code

    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        flood = [asyncio.create_task(call(greedy, 2, 3000)) for _ in range(30)]
        await asyncio.sleep(0.5)
        mine = await call(other, 15, 1500)
        return list(await asyncio.gather(*flood)), mine


@pytest.mark.parametrize("several", [True, False])
def test_room_is_told_of(several: bool) -> None:
    refused = make_room([Call("a", 90)], "a", 20, 0, replace(LIMITS, several_keys=several))
    assert refused == NoRoom(90, of_key=several)
