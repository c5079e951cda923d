"""How many bytes of bodies the process holds: counted as they come, given back when the call is over."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import Unavailable
from service.http.body_budget import BodyBudget, BodyHold
from tests.fakes import ScriptedEngine
from tests.service.serving import wait_until
from tests.service.wire.server import open_service
from tests.waiting import PATIENCE, turns

KIB = 1024
LARGE = json.dumps({"query": "q", "documents": ["a" * 99 * KIB]}).encode()


def test_pieces_are_counted_up_to_the_limit_and_given_back() -> None:
    bodies = BodyBudget(100)
    first, second = bodies.hold("a"), bodies.hold("b")
    first.reserve(60)
    second.reserve(40)
    with pytest.raises(Unavailable, match="holds 100 bytes of other calls and takes 100 in all") as refused:
        first.reserve(1)  # the newest of the key that holds the most is its own
    assert refused.value.retry_after
    assert bodies.bytes == 100
    first.release()
    second.release()
    assert bodies.bytes == 0


async def test_a_call_that_fails_gives_back_too() -> None:
    bodies = BodyBudget(100)
    with pytest.raises(RuntimeError):
        await _read(bodies, "a", 70, failing=True)
    assert (bodies.bytes, bodies.arriving) == (0, 0)


async def _read(
    bodies: BodyBudget, key: str, *pieces: int, whole: asyncio.Event | None = None, failing: bool = False
) -> BodyHold:
    """Reads a body in `pieces`; it is whole at once, or when the event says so, or its call fails."""
    hold = bodies.hold(key)
    try:
        with hold.reading():
            for piece in pieces:
                hold.reserve(piece)
                await asyncio.sleep(0)
            if whole is not None:
                await whole.wait()
            if failing:
                raise RuntimeError
    except BaseException:
        hold.release()
        raise
    return hold


async def test_the_newest_unfinished_body_of_the_key_that_holds_the_most_makes_room() -> None:
    bodies, never = BodyBudget(100, several_keys=True), asyncio.Event()
    stalled = [asyncio.create_task(_read(bodies, "greedy", 16, whole=never)) for _ in range(3)]
    await turns()
    other = await _read(bodies, "other", 40)
    assert not any(task.done() for task in stalled)
    third = await _read(bodies, "third", 20)  # 48 + 40 are held
    await turns()
    assert [task.done() for task in stalled] == [False, False, True]
    assert isinstance(stalled[2].exception(), Unavailable)
    for task in stalled:
        task.cancel()
    await asyncio.gather(*stalled, return_exceptions=True)
    other.release()
    third.release()
    assert (bodies.bytes, bodies.arriving) == (0, 0)


async def test_one_key_holds_no_more_than_its_share_but_always_one_body() -> None:
    bodies = BodyBudget(100, largest=70, several_keys=True)
    hold = await _read(bodies, "a", 70)
    with pytest.raises(Unavailable, match="one key may hold 70 in all"):
        await _read(bodies, "a", 1)
    other = await _read(bodies, "b", 30)
    assert bodies.bytes == 100
    hold.release()
    other.release()


async def test_of_one_caller_the_oldest_bodies_finish() -> None:
    bodies, whole = BodyBudget(100), asyncio.Event()
    oldest = asyncio.create_task(_read(bodies, "a", 40, 40, whole=whole))
    newer = asyncio.create_task(_read(bodies, "a", 30, 30, whole=whole))
    await turns()
    whole.set()
    results = await asyncio.gather(oldest, newer, return_exceptions=True)
    assert isinstance(results[0], BodyHold)
    assert isinstance(results[1], Unavailable)


async def test_a_client_that_leaves_is_no_refusal() -> None:
    bodies = BodyBudget(100)
    task = asyncio.create_task(_read(bodies, "a", 1, whole=asyncio.Event()))
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (bodies.bytes, bodies.arriving) == (0, 0)


async def test_a_stop_waits_until_each_answer_is_sent_and_takes_no_new_body() -> None:
    """A body that has come and is parsed belongs to no queue yet, and an answer that is sent to none any more."""
    bodies = BodyBudget(100)
    parsed, sending = await _read(bodies, "a", 10), await _read(bodies, "b", 10)
    idle = asyncio.create_task(bodies.idle())
    bodies.close(lambda: Unavailable("stopping", reason="draining"))
    for hold in (parsed, sending):
        await turns()
        assert (bodies.arriving, idle.done()) == (0, False)
        hold.release()
    await idle
    with pytest.raises(Unavailable, match="stopping"):
        bodies.hold("a")
    await bodies.idle()


async def test_a_body_that_made_room_is_answered_before_a_stop_goes_on() -> None:
    bodies, never = BodyBudget(100), asyncio.Event()
    refused = asyncio.create_task(_read(bodies, "greedy", 60, whole=never))
    await turns()
    other = bodies.hold("other")
    other.reserve(50)
    assert (bodies.bytes, bodies.unanswered) == (50, 2)
    with pytest.raises(Unavailable):
        await refused
    assert bodies.unanswered == 1


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 60), st.sampled_from(["keep", "finish", "drop"]))))
def test_the_count_is_never_beyond_the_limit_and_comes_back_to_nothing(
    steps: list[tuple[str, int, str]],
) -> None:
    bodies = BodyBudget(100, several_keys=True)
    holds: list[BodyHold] = []
    for key, size, then in steps:
        hold = bodies.hold(key)
        holds.append(hold)
        with suppress(Unavailable):
            hold.reserve(size)
        assert bodies.bytes == sum(hold.bytes for hold in holds) <= 100
        if then == "finish":
            bodies.finished(hold)
        elif then == "drop":
            hold.release()
    for hold in holds:
        hold.release()
    assert (bodies.bytes, bodies.arriving) == (0, 0)


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def client(engine: ScriptedEngine) -> Iterator[httpx.Client]:
    """Of a service that holds one body of the largest size, and half of another."""
    with (
        open_service(engine, max_body_bytes=100 * KIB, max_held_bytes=150 * KIB) as url,
        httpx.Client(base_url=url) as client,
    ):
        yield client


def held(client: httpx.Client) -> float:
    [line] = [line for line in client.get("/metrics").text.splitlines() if line.startswith("limrank_held_bytes ")]
    return float(line.split()[1])


@contextmanager
def waiting_call(client: httpx.Client, engine: ScriptedEngine) -> Iterator[None]:
    """A call of almost the largest size is in the engine; at the end its caller leaves."""
    engine.stuck = True
    address = urlsplit(str(client.base_url))
    head = f"POST /rerank HTTP/1.1\r\nHost: a\r\nContent-Length: {len(LARGE)}\r\n\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
        connection.sendall(head.encode() + LARGE)
        wait_until(lambda: held(client) == len(LARGE) and engine.running == 1)
        yield
    engine.stuck = False


def test_a_call_beyond_what_is_held_is_told_to_come_again(client: httpx.Client, engine: ScriptedEngine) -> None:
    with waiting_call(client, engine):
        refused = client.post("/rerank", content=LARGE)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert f"takes {150 * KIB} in all; retry later." in refused.json()["message"]
        assert held(client) == len(LARGE), "the refused one holds nothing"
    wait_until(lambda: held(client) == 0)
    assert client.post("/rerank", content=LARGE).status_code == 200
    assert held(client) == 0


def test_many_large_bodies_at_once_are_answered_as_far_as_there_is_room() -> None:
    """Those that fit are read whole and answered, the others told at once; counted piece by piece all would fail."""
    body = json.dumps({"query": "q", "documents": ["a" * 1000 * KIB]}).encode()
    with (
        open_service(max_body_bytes=1024 * KIB, max_held_bytes=3 * 1024 * KIB) as url,
        httpx.Client(base_url=url, timeout=PATIENCE) as client,
        ThreadPoolExecutor(12) as callers,
    ):
        statuses = list(callers.map(lambda _: client.post("/rerank", content=body).status_code, range(24)))
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 3


def test_a_length_that_is_announced_takes_no_room(client: httpx.Client) -> None:
    address = urlsplit(str(client.base_url))
    head = f"POST /rerank HTTP/1.1\r\nHost: a\r\nContent-Length: {100 * KIB}\r\n\r\n".encode()
    with ExitStack() as connections:
        for _ in range(10):
            idle = connections.enter_context(
                socket.create_connection((address.hostname, address.port), timeout=PATIENCE)
            )
            idle.sendall(head + b"[")
        wait_until(lambda: held(client) == 10)
        assert client.post("/rerank", content=LARGE).status_code == 200
    wait_until(lambda: held(client) == 0)


def test_a_body_of_unannounced_length_takes_room_as_it_comes(client: httpx.Client) -> None:
    answer = client.post("/rerank", content=(LARGE[start : start + KIB] for start in range(0, len(LARGE), KIB)))
    assert answer.status_code == 200
    assert held(client) == 0


def test_a_body_that_does_not_arrive_in_time_is_408() -> None:
    with open_service(body_timeout_seconds=0.2) as url:
        address = urlsplit(url)
        with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
            connection.sendall(b"POST /rerank HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n[")
            answer = b""
            while b"send it faster" not in answer:  # head and body may come apart
                piece = connection.recv(65536)
                assert piece, answer
                answer += piece
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"within 0.2 seconds" in answer
