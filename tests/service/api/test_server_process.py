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
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ports import free_port
from tests.processes import ROOT, ServerProcess, clean_environment, server
from tests.service.http.raw import connected, post
from tests.service.scripted_server import HELD
from tests.waiting import PATIENCE, until

STUCK = '{"query": "q", "documents": ["stuck"]}'
Start = Callable[..., AbstractContextManager[ServerProcess]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    def start(*arguments: str, seconds: float = 0.0, **environment: str) -> AbstractContextManager[ServerProcess]:
        return server(
            "tests.service.scripted_server",
            free_port(),
            tmp_path,
            *arguments,
            LIMRANK_TEST_SECONDS_PER_DOCUMENT=str(seconds),
            **environment,
        )

    return start


def body(documents: int = 5) -> dict[str, Any]:
    return {"query": "what is it", "documents": [f"it is number {n}" for n in range(documents)]}


class Caller:
    """Calls on kept-alive connections, one after another, until told to stop and once more. Keeps what it got."""

    def __init__(self, url: str) -> None:
        self.answers: list[httpx.Response | httpx.TransportError] = []
        self._url = url
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self._call())

    async def _call(self) -> None:
        last = False
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            while not last:
                last = self._stop.is_set()
                try:
                    self.answers.append(await client.post(f"{self._url}/rerank", json=body()))
                except httpx.TransportError as error:
                    self.answers.append(error)
                await asyncio.sleep(0.01)

    def got(self, status: int) -> bool:
        return any(isinstance(answer, httpx.Response) and answer.status_code == status for answer in self.answers)

    async def stop(self) -> str:
        """Its history, in short."""
        self._stop.set()
        await self._task
        return in_short(self.answers)


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


async def test_sigterm_under_load_loses_no_call(start: Start, tmp_path: Path) -> None:
    """Not ready at once, serving through the delay, then 503 with Retry-After, then gone with exit 0."""
    go = tmp_path / "go"
    with start("--drain-delay", "1", "--drain-budget", "3600", seconds=0.01, LIMRANK_TEST_GO=str(go)) as running:
        callers = [Caller(running.url) for _ in range(6)]
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            long = asyncio.create_task(
                client.post(f"{running.url}/rerank", json={"query": "q", "documents": [HELD, *["a text"] * 400]})
            )
            await until(lambda: all(caller.got(200) for caller in callers))
            running.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(running.wait_for_line, "leaving")
            assert (await client.get(f"{running.url}/health/ready")).status_code == 503
            assert (await client.get(f"{running.url}/health/live")).status_code == 200
            await until(lambda: all(caller.got(503) for caller in callers))
            go.touch()
            assert (await long).status_code == 200, "a call accepted before the signal is finished"
        assert await asyncio.to_thread(running.wait) == 0
        histories = [await caller.stop() for caller in callers]
        lines = [json.loads(line) for line in running.log.read_text().splitlines()]
    assert all(re.fullmatch(r"s\d+ r\d+ n\d+", history) for history in histories), histories
    events = [line["event"] for line in lines]
    calls = [line.get("status") for line in lines[: events.index("draining")] if line.get("route") == "/rerank"]
    assert set(calls) == {200}, "all are served up to the end of the delay"


def test_what_does_not_finish_in_the_budget_is_told_so(start: Start) -> None:
    with start("--drain-delay", "0", "--drain-budget", "0.5") as running:
        with subprocess.Popen(
            curl(running.url, '{"query": "q", "documents": ["stuck"]}'), stdout=subprocess.PIPE
        ) as call:
            running.wait_for("limrank_running_documents", 1)
            assert running.stop() == 0
            answer, _ = call.communicate(timeout=PATIENCE)
        assert answer.endswith(b"503")
        assert b"stopped before this call was finished" in answer
        lines = [json.loads(line) for line in running.log.read_text().splitlines()]
        assert [line["status"] for line in lines if line.get("error") == "call_cut"] == [503]


def test_a_second_signal_means_now(start: Start) -> None:
    """And not when delay or budget are over."""
    with (
        start("--drain-delay", "3600", "--drain-budget", "3600") as running,
        subprocess.Popen(curl(running.url, '{"query": "q", "documents": ["stuck"]}'), stdout=subprocess.PIPE) as call,
    ):
        running.wait_for("limrank_running_documents", 1)
        running.process.send_signal(signal.SIGINT)
        running.wait_for_line("draining")
        assert running.process.poll() is None
        running.process.send_signal(signal.SIGINT)
        assert running.wait() == 0
        assert call.communicate(timeout=PATIENCE)[0].endswith(b"503")


def test_a_dead_engine_answers_everybody_and_ends_the_process(start: Start) -> None:
    """The deadline of what waits is far away."""
    with start("--request-timeout-seconds", "3600") as running:
        with subprocess.Popen(curl(running.url, STUCK), stdout=subprocess.PIPE) as waiting:
            running.wait_for("limrank_running_documents", 1)
            killing = running.rerank({"query": "q", "documents": ["die"]})
            answer, _ = waiting.communicate(timeout=PATIENCE)
        assert killing.status_code == 503
        assert int(killing.headers["retry-after"]) >= 1
        assert answer.endswith(b"503")
        assert running.wait() == 1


def test_an_engine_that_dies_while_the_server_drains_ends_it_at_once(start: Start) -> None:
    with start("--drain-delay", "3600", "--drain-budget", "3600") as running:
        with subprocess.Popen(curl(running.url, STUCK), stdout=subprocess.PIPE) as waiting:
            running.wait_for("limrank_running_documents", 1)
            running.process.send_signal(signal.SIGTERM)
            running.wait_for_line("leaving")
            running.rerank({"query": "q", "documents": ["die"]})
            assert waiting.communicate(timeout=PATIENCE)[0].endswith(b"503")
        assert running.wait() == 1


def test_a_client_that_leaves_frees_its_seats(start: Start) -> None:
    with start() as running:
        with connected(running.url) as connection:
            connection.sendall(post(body=json.dumps({"query": "q", "documents": ["stuck"] * 40}).encode()))
            running.wait_for("limrank_running_documents", 16)
        running.wait_for("limrank_running_documents", 0)
        running.wait_for("limrank_queued_documents", 0)
        running.wait_for('limrank_requests_cancelled_total{stage="running"}', 1)
        assert running.rerank(body()).status_code == 200


def test_a_deadline_in_the_header_is_kept(start: Start) -> None:
    """All of the first call would take 12 s."""
    with start(seconds=0.2) as running:
        late = running.rerank(body(1000), headers={"X-Request-Timeout-Ms": "300"})
        assert late.status_code in (503, 504)
        running.wait_for("limrank_running_documents", 0)
        assert running.rerank(body(), headers={"X-Request-Timeout-Ms": "600000"}).status_code == 200
        wrong = running.rerank(body(), headers={"X-Request-Timeout-Ms": "soon"})
        assert wrong.status_code == 400
        assert "X-Request-Timeout-Ms" in wrong.json()["message"]


def test_small_calls_are_answered_while_a_large_one_runs(start: Start, tmp_path: Path) -> None:
    """It has a document that is never done, and so many others that they wait for twelve seconds."""
    large = post(body=json.dumps({"query": "q", "documents": [HELD, *["some text"] * 4000]}).encode())
    with start("--request-timeout-seconds", "3600", seconds=0.05) as running, connected(running.url) as connection:
        connection.sendall(large)
        running.wait_for("limrank_running_documents", 16)
        assert running.rerank(body(8)).status_code == 200
        assert running.metric("limrank_queued_documents") > 0, "it went before most of the large call"
        for _ in range(4):
            assert running.rerank(body(8)).status_code == 200
        assert running.metric("limrank_running_documents") >= 1, "the large call still runs"


def run_serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service.main", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
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
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert done.stdout.strip() == "False"


def curl(url: str, data: str) -> list[str]:
    """A caller of its own process; prints the body and then the status."""
    return ["curl", "-s", "-w", "%{http_code}", "-d", data, f"{url}/rerank"]
