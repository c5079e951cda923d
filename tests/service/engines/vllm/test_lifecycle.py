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
from tests.service.engines.vllm.serving import descendants, engine_core, require_vllm, series, vllm_server

pytestmark = pytest.mark.timeout(500)

QUERY = "how is influenza treated"
STUCK_SECONDS = 60  # by --stuck-after's default: how long an engine may stand still
HELD = ("vllm:num_requests_running", "vllm:num_requests_waiting", "limrank_engine_requests")


@pytest.fixture(autouse=True)
def _vllm() -> None:
    require_vllm()


def body(documents: int, seed: int, mode: str = "direct", budget: int = 1) -> dict[str, Any]:
    choose = random.Random(seed)
    texts = [text(choose, 20) for _ in range(documents)]
    return {"query": QUERY, "documents": texts, "mode": mode, "max_reasoning_tokens": budget}


async def statuses(url: str, bodies: list[dict[str, Any]]) -> list[asyncio.Task[httpx.Response]]:
    """Calls that are under way; the caller awaits them."""

    async def call(each: dict[str, Any]) -> httpx.Response:
        async with httpx.AsyncClient(base_url=url, timeout=200) as client:
            return await client.post("/rerank", json=each)

    return [asyncio.create_task(call(each)) for each in bodies]


async def settled(running: ServerProcess) -> float:
    """Seconds until vLLM holds no request."""
    begun = time.monotonic()
    while any((await asyncio.to_thread(series, running, *HELD)).values()):
        assert time.monotonic() - begun < 30, series(running, *HELD)
        await asyncio.sleep(0.05)
    return time.monotonic() - begun


def computed(running: ServerProcess) -> float:
    """Requests that vLLM has brought to their end, those that were aborted left out."""
    lines = running.get("/metrics").text.splitlines()
    ended = [line for line in lines if line.startswith("vllm:request_success_total{") and '"abort"' not in line]
    return sum(float(line.rpartition(" ")[2]) for line in ended)


async def busy(running: ServerProcess) -> None:
    await asyncio.to_thread(_wait_until_busy, running)


def _wait_until_busy(running: ServerProcess) -> None:
    deadline = time.monotonic() + 30
    while not series(running, *HELD)["vllm:num_requests_running"]:
        assert time.monotonic() < deadline, "vLLM was never given a request"
        time.sleep(0.05)


async def given_up(task: asyncio.Task[httpx.Response]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


@pytest.mark.parametrize(("mode", "budget"), [("direct", 1), ("reasoning", 400)])
def test_a_client_that_leaves_takes_its_work_along(running: ServerProcess, mode: str, budget: int) -> None:
    async def leave() -> None:
        before = computed(running)
        (call,) = await statuses(running.url, [body(60, 1, mode, budget)])
        await busy(running)
        await given_up(call)
        await settled(running)
        assert computed(running) - before < 60, "not all of it was computed for nobody"

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


def test_a_killed_engine_answers_everybody_and_ends_the_process(tmp_path: Path) -> None:
    async def kill(running: ServerProcess) -> None:
        calls = await statuses(running.url, [body(30, n, ["direct", "reasoning"][n % 2], 300) for n in range(4)])
        await busy(running)
        os.kill(engine_core(running), signal.SIGKILL)
        begun = time.monotonic()
        while (await asyncio.to_thread(_ready, running)) == 200:
            assert time.monotonic() - begun < STUCK_SECONDS / 2
            await asyncio.sleep(0.05)
        answers = await asyncio.gather(*calls)
        assert time.monotonic() - begun < STUCK_SECONDS, "the process saw it itself, and not by standing still"
        assert [answer.status_code for answer in answers] == [503] * 4
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)

    with vllm_server(tmp_path) as running:
        children = descendants(running.process.pid)
        run(kill(running))
        assert running.process.wait(20) == 1
        _assert_gone(children, 10)


def test_a_stop_under_load_loses_no_accepted_call(tmp_path: Path) -> None:
    async def stop(running: ServerProcess) -> None:
        calls = await statuses(running.url, [body(8, n, ["direct", "reasoning"][n % 2], 20) for n in range(6)])
        await busy(running)
        running.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        (late,) = await statuses(running.url, [body(1, 9)])
        answers = await asyncio.gather(*calls)
        assert [answer.status_code for answer in answers] == [200] * 6
        refused = (await asyncio.gather(late, return_exceptions=True))[0]
        assert isinstance(refused, httpx.TransportError) or refused.status_code == 503  # type: ignore[union-attr]

    with vllm_server(tmp_path, "--drain-budget", "120") as running:
        children = descendants(running.process.pid)
        run(stop(running))
        assert running.process.wait(30) == 0
        _assert_gone(children, 10)


def test_an_engine_that_stands_still_ends_the_process(tmp_path: Path) -> None:
    async def stand_still(running: ServerProcess) -> None:
        (call,) = await statuses(running.url, [body(10, 3)])
        await busy(running)
        os.kill(engine_core(running), signal.SIGSTOP)
        begun = time.monotonic()
        answer = await call
        assert answer.status_code == 503
        assert 3 < time.monotonic() - begun < 15

    with vllm_server(tmp_path, "--stuck-after", "4") as running:
        run(stand_still(running))
        assert running.process.wait(30) == 1


def _ready(running: ServerProcess) -> int:
    try:
        return running.get("/health/ready").status_code
    except httpx.TransportError:
        return 0


def _assert_gone(pids: list[int], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while alive := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, f"processes {alive} of the engine are still there"
        time.sleep(0.1)
