"""Clients that leave, an engine that is killed or stands still, and a stop under load: real processes, real HTTP."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import ServerProcess
from tests.service.engines.plain_forward import text
from tests.service.engines.vllm.scripted_traces import marker
from tests.service.engines.vllm.serving import STUCK_SECONDS, descendants, engine_core, series
from tests.waiting import PATIENCE, wait_until

QUERY = "how is influenza treated"
HELD = ("vllm:num_requests_running", "vllm:num_requests_waiting", "limrank_engine_requests")


def body(documents: int, seed: int, mode: str = "direct", budget: int = 1, ending: str = "") -> dict[str, Any]:
    choose = random.Random(seed)
    texts = [text(choose, 20) + ending for _ in range(documents)]
    return {"query": QUERY, "documents": texts, "mode": mode, "max_reasoning_tokens": budget}


async def statuses(url: str, bodies: list[dict[str, Any]]) -> list[asyncio.Task[httpx.Response]]:
    """Calls that are under way; the caller awaits them."""

    async def call(each: dict[str, Any]) -> httpx.Response:
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
            return await client.post("/rerank", json=each)

    return [asyncio.create_task(call(each)) for each in bodies]


async def settled(running: ServerProcess) -> None:
    """Return when vLLM holds no request."""
    await asyncio.to_thread(
        wait_until, lambda: not any(series(running, *HELD).values()), lambda: f"{series(running, *HELD)}", 0.05
    )


def computed(running: ServerProcess) -> float:
    """Requests that vLLM has brought to their end, those that were aborted left out."""
    lines = running.get("/metrics").text.splitlines()
    ended = [line for line in lines if line.startswith("vllm:request_success_total{") and '"abort"' not in line]
    return sum(float(line.rpartition(" ")[2]) for line in ended)


async def busy(running: ServerProcess, name: str = "vllm:num_requests_running") -> None:
    """Return when vLLM computes something, or by another of its series has something to."""
    await asyncio.to_thread(
        wait_until, lambda: bool(series(running, name)[name]), "vLLM was never given a request", 0.05
    )


async def given_up(task: asyncio.Task[httpx.Response]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


@pytest.mark.parametrize(("mode", "count", "budget"), [("direct", 400, 1), ("reasoning", 60, 400)])
def test_a_client_that_leaves_takes_its_work_along(running: ServerProcess, mode: str, count: int, budget: int) -> None:
    async def leave() -> None:
        before = computed(running)
        (call,) = await statuses(running.url, [body(count, 1, mode, budget, f" {marker('open')}")])
        await busy(running)
        await given_up(call)
        await settled(running)
        assert computed(running) - before < count, "not all of it was computed for nobody"

    run(leave())
    assert running.rerank(body(2, 2)).status_code == 200


def test_clients_that_leave_at_any_moment_leak_no_request(running: ServerProcess) -> None:
    async def leave() -> None:
        choose = random.Random(5)
        calls = await statuses(running.url, [body(6, n, ["direct", "reasoning"][n % 2], 30) for n in range(24)])
        for call in calls:
            await asyncio.sleep(choose.uniform(0.0, 0.06))
            await given_up(call)
        await settled(running)

    run(leave())
    running.wait_for("limrank_running_documents", 0)


@pytest.mark.ends_the_server
def test_a_killed_engine_answers_everybody_and_ends_the_process(tiny: ServerProcess) -> None:
    """Its engine is held before it is killed, so that it has answered nobody. It would count as stuck in an hour: the
    process sees that it is gone."""

    async def kill() -> None:
        core = engine_core(tiny)
        os.kill(core, signal.SIGSTOP)
        calls = await statuses(tiny.url, [body(30, n, ["direct", "reasoning"][n % 2], 300) for n in range(4)])
        await busy(tiny, "limrank_engine_requests")
        assert await asyncio.to_thread(_ready, tiny) == 200
        os.kill(core, signal.SIGKILL)
        await asyncio.to_thread(wait_until, lambda: _ready(tiny) != 200)
        answers = await asyncio.gather(*calls)
        assert [answer.status_code for answer in answers] == [503] * 4
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)

    children = descendants(tiny.process.pid)
    run(kill())
    assert tiny.wait() == 1
    _assert_gone(children)


@pytest.mark.ends_the_server
def test_a_stop_under_load_loses_no_accepted_call(running: ServerProcess) -> None:
    """The engine is held until the server drains: none of the calls is answered before."""

    async def stop() -> None:
        core = engine_core(running)
        os.kill(core, signal.SIGSTOP)
        calls = await statuses(running.url, [body(8, n, ["direct", "reasoning"][n % 2], 20) for n in range(6)])
        names = ("limrank_running_documents", "limrank_queued_documents")
        await asyncio.to_thread(wait_until, lambda: sum(series(running, *names).values()) == 6 * 8, every=0.05)
        running.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(running.wait_for_line, "draining")
        os.kill(core, signal.SIGCONT)
        (late,) = await statuses(running.url, [body(1, 9)])
        answers = await asyncio.gather(*calls)
        assert [answer.status_code for answer in answers] == [200] * 6
        refused = (await asyncio.gather(late, return_exceptions=True))[0]
        assert isinstance(refused, httpx.TransportError) or refused.status_code == 503  # type: ignore[union-attr]

    children = descendants(running.process.pid)
    run(stop())
    assert running.wait() == 0
    _assert_gone(children)


@pytest.mark.ends_the_server
def test_an_engine_that_stands_still_ends_the_process(merged: ServerProcess) -> None:
    """In the middle of traces that would go on for a thousand tokens."""

    async def stand_still() -> None:
        (call,) = await statuses(merged.url, [body(10, 3, "reasoning", 1000, f" {marker('open')}")])
        await busy(merged)
        os.kill(engine_core(merged), signal.SIGSTOP)
        begun = time.monotonic()
        answer = await call
        assert answer.status_code == 503
        assert time.monotonic() - begun > STUCK_SECONDS - 1, "but for the time since it was last looked at"

    run(stand_still())
    assert merged.wait() == 1
    assert "has computed nothing for" in merged.log.read_text()


def _ready(running: ServerProcess) -> int:
    try:
        return running.get("/health/ready").status_code
    except httpx.TransportError:
        return 0


def _assert_gone(pids: list[int]) -> None:
    def alive() -> list[int]:
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]

    wait_until(lambda: not alive(), lambda: f"processes {alive()} of the engine are still there", 0.1)
