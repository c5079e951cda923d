"""The server as a process: stopping under load, an engine that dies, clients that leave, deadlines, wrong starts."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ports import free_port
from tests.processes import ROOT, ServerProcess, clean_environment, server

STUCK = '{"query": "q", "documents": ["stuck"]}'
Start = Callable[..., AbstractContextManager[ServerProcess]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    def start(*arguments: str, seconds: float = 0.0) -> AbstractContextManager[ServerProcess]:
        return server(
            "tests.service.scripted_server",
            free_port(),
            tmp_path,
            *arguments,
            LIMRANK_TEST_SECONDS_PER_DOCUMENT=str(seconds),
        )

    return start


def body(documents: int = 5) -> dict[str, Any]:
    return {"query": "what is it", "documents": [f"it is number {n}" for n in range(documents)]}


async def load(url: str, stop: asyncio.Event) -> list[httpx.Response | httpx.TransportError]:
    """One caller on kept-alive connections, until told to stop and once more; what it got, in order."""
    answers: list[httpx.Response | httpx.TransportError] = []
    last = False
    async with httpx.AsyncClient(timeout=30) as client:
        while not last:
            last = stop.is_set()
            try:
                answers.append(await client.post(f"{url}/rerank", json=body()))
            except httpx.TransportError as error:
                answers.append(error)
            await asyncio.sleep(0.01)
    return answers


def in_short(answers: list[httpx.Response | httpx.TransportError]) -> str:
    """A caller's history: how often in a row it was s served, r refused with advice, n sent in vain, ? else."""

    def letter(answer: httpx.Response | httpx.TransportError) -> str:
        if not isinstance(answer, httpx.Response):
            return "n"
        if answer.status_code == 200:
            return "s"
        advised = answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1
        return "r" if advised and answer.headers["connection"] == "close" else "?"

    return " ".join(f"{kind}{len(list(group))}" for kind, group in itertools.groupby(map(letter, answers)))


async def test_sigterm_under_load_loses_no_call(start: Start) -> None:
    """Not ready at once, serving through the delay, then 503 with Retry-After, then gone with exit 0."""
    with start("--drain-delay", "2", "--drain-budget", "30", seconds=0.01) as running:
        stop = asyncio.Event()
        callers = [asyncio.create_task(load(running.url, stop)) for _ in range(6)]
        async with httpx.AsyncClient(timeout=60) as client:
            long = asyncio.create_task(client.post(f"{running.url}/rerank", json=body(4000)))
            await asyncio.sleep(0.5)
            running.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.1)
            assert (await client.get(f"{running.url}/health/ready")).status_code == 503
            assert (await client.get(f"{running.url}/health/live")).status_code == 200
            await asyncio.sleep(0.6)
            assert (await client.post(f"{running.url}/rerank", json=body())).status_code == 200, "within the delay"
            assert (await long).status_code == 200, "a call accepted before the signal is finished"
        assert await asyncio.to_thread(running.process.wait, 20) == 0
        stop.set()
        histories = [in_short(answers) for answers in await asyncio.gather(*callers)]
    assert all(re.fullmatch(r"s\d+ r\d+ n\d+", history) for history in histories), histories


def test_what_does_not_finish_in_the_budget_is_told_so(start: Start) -> None:
    with start("--drain-delay", "0", "--drain-budget", "0.5") as running:
        with subprocess.Popen(
            curl(running.url, '{"query": "q", "documents": ["stuck"]}'), stdout=subprocess.PIPE
        ) as call:
            running.wait_for("limrank_running_documents", 1, 5)
            assert running.stop() == 0
            answer, _ = call.communicate(timeout=5)
        assert answer.endswith(b"503")
        assert b"stopped before this call was finished" in answer
        lines = [json.loads(line) for line in running.log.read_text().splitlines()]
        assert [line["status"] for line in lines if line.get("error") == "call_cut"] == [503]


def test_a_second_signal_means_now(start: Start) -> None:
    with (
        start("--drain-delay", "60", "--drain-budget", "60") as running,
        subprocess.Popen(curl(running.url, '{"query": "q", "documents": ["stuck"]}'), stdout=subprocess.PIPE) as call,
    ):
        running.wait_for("limrank_running_documents", 1, 5)
        running.process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert running.process.poll() is None
        begun = time.monotonic()
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(10) == 0
        assert time.monotonic() - begun < 5
        assert call.communicate(timeout=5)[0].endswith(b"503")


def test_a_dead_engine_answers_everybody_and_ends_the_process(start: Start) -> None:
    with start() as running:
        with subprocess.Popen(curl(running.url, STUCK), stdout=subprocess.PIPE) as waiting:
            running.wait_for("limrank_running_documents", 1, 5)
            begun = time.monotonic()
            killing = running.rerank({"query": "q", "documents": ["die"]})
            answer, _ = waiting.communicate(timeout=10)
            assert time.monotonic() - begun < 5
        assert killing.status_code == 503
        assert int(killing.headers["retry-after"]) >= 1
        assert answer.endswith(b"503")
        assert running.process.wait(10) == 1


def test_an_engine_that_dies_while_the_server_drains_ends_it_at_once(start: Start) -> None:
    with start("--drain-delay", "30", "--drain-budget", "30") as running:
        with subprocess.Popen(curl(running.url, STUCK), stdout=subprocess.PIPE) as waiting:
            running.wait_for("limrank_running_documents", 1, 5)
            running.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            running.rerank({"query": "q", "documents": ["die"]})
            assert waiting.communicate(timeout=10)[0].endswith(b"503")
        assert running.process.wait(10) == 1


def test_a_client_that_leaves_frees_its_seats(start: Start) -> None:
    with start() as running:
        with pytest.raises(httpx.ReadTimeout):
            running.rerank({"query": "q", "documents": ["stuck"] * 40}, timeout=0.3)
        running.wait_for("limrank_running_documents", 0, 5)
        running.wait_for("limrank_queued_documents", 0, 5)
        running.wait_for('limrank_requests_cancelled_total{stage="running"}', 1, 5)
        assert running.rerank(body()).status_code == 200


def test_a_deadline_in_the_header_is_kept(start: Start) -> None:
    with start(seconds=0.2) as running:
        begun = time.monotonic()
        late = running.rerank(body(1000), headers={"X-Request-Timeout-Ms": "300"})
        assert time.monotonic() - begun < 5, "all of it would take 12 s"
        assert late.status_code in (503, 504)
        running.wait_for("limrank_running_documents", 0, 5)
        assert running.rerank(body(), headers={"X-Request-Timeout-Ms": "20000"}).status_code == 200
        wrong = running.rerank(body(), headers={"X-Request-Timeout-Ms": "soon"})
        assert wrong.status_code == 400
        assert "X-Request-Timeout-Ms" in wrong.json()["message"]


def test_small_calls_are_answered_while_a_large_one_runs(start: Start) -> None:
    with start(seconds=0.004) as running:
        large = curl(running.url, '{"query": "q", "documents": [' + ", ".join(['"some text"'] * 4000) + "]}")
        with subprocess.Popen(large, stdout=subprocess.PIPE) as call:
            running.wait_for("limrank_running_documents", 16, 5)
            times = []
            for _ in range(10):
                begun = time.monotonic()
                assert running.rerank(body(8)).status_code == 200
                times.append(time.monotonic() - begun)
            assert call.poll() is None, "the large call was over before the small ones were measured"
            assert sorted(times)[5] < 0.5
            call.kill()


def run_serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service.main", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--host", "0.0.0.0"), "can be reached by others and there are no keys"),
        (("--model", "no-such-model"), "neither an embedded model"),
        (("--keys-file", "/nowhere/keys.toml"), "keys"),
        (("--max-documents", "many"), "max-documents"),
        (("--no-such-flag",), "no-such-flag"),
    ],
)
def test_a_wrong_start_is_one_sentence_and_exit_2(arguments: tuple[str, ...], sentence: str) -> None:
    done = run_serve("--port", str(free_port()), *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_port_in_use_is_found_before_the_model_is_loaded() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_serve("--port", str(port))
    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr
    assert "in use" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_entry_point_is_imported_without_torch() -> None:
    """`main` chooses how OpenMP's threads wait, which they read when torch is loaded: afterwards it has no effect."""
    code = "import sys, service.main; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"


def curl(url: str, data: str) -> list[str]:
    """A caller of its own process; prints the body and then the status."""
    return ["curl", "-s", "-w", "%{http_code}", "-d", data, f"{url}/rerank"]
