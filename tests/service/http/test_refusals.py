"""What never reaches the app is answered as all else is: a body that clients read, an id, a metric, a log line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.ports import free_port
from tests.processes import ServerProcess, server
from tests.service.http.raw import connected, everything, post, statuses
from tests.waiting import PATIENCE, wait_until

SCRIPTED = "tests.service.scripted_server"
HOST = b"GET /private-path HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    flags = ("--max-connections", "8", "--drain-delay", "0")
    with server(SCRIPTED, free_port(), tmp_path_factory.mktemp("refusals"), *flags) as started:
        yield started


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400, "bad_head"),
        (HOST + b"no colon\r\n\r\n", 400, "bad_head"),
        (b"POST /rerank HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, "bad_head"),
        (HOST + b"a: b\r\n" * 300 + b"\r\n", 431, "head_too_large"),
        (HOST + b"a: " + b"b" * 70_000 + b"\r\n\r\n", 431, "head_too_large"),
    ],
)
def test_a_head_that_is_refused_is_told_counted_and_logged(
    running: ServerProcess, sent: bytes, status: int, reason: str
) -> None:
    before = refused(running, reason)
    with connected(running.url) as connection:
        connection.sendall(sent)
        answer = everything(connection)
    check(running, answer, status)
    assert refused(running, reason) == before + 1


def test_a_connection_too_many_is_told_counted_and_logged(running: ServerProcess) -> None:
    before = refused(running, "connections")
    with ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(connected(running.url))
        with connected(running.url) as connection:
            connection.sendall(post())
            answer = everything(connection)
        check(running, answer, 503)
        assert b"retry-after: 2" in answer.lower()
    wait_until(lambda: _refused_or_none(running, "connections") not in (None, before))


def check(running: ServerProcess, answer: bytes, status: int) -> None:
    """The one answer, and the line of it in the log."""
    assert statuses(answer) == [status], answer
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
    assert fields[b"content-type"] == b"application/json"
    assert fields[b"connection"] == b"close"
    found = json.loads(body)
    assert found["message"] == found["detail"]
    name = fields[b"x-request-id"].decode()
    assert found["id"] == name
    [line] = [line for line in running.log.read_text().splitlines() if name in line]
    logged = json.loads(line)
    assert (logged["status"], logged["request_id"]) == (status, name)
    assert "private-path" not in running.log.read_text()


def refused(running: ServerProcess, reason: str) -> float:
    found = _refused_or_none(running, reason)
    assert found is not None
    return found


def _refused_or_none(running: ServerProcess, reason: str) -> float | None:
    """How many were refused; None where there is no connection to ask on."""
    try:
        answer = httpx.get(f"{running.url}/metrics", timeout=PATIENCE)
    except httpx.TransportError:
        return None
    start = f'limrank_requests_rejected_total{{reason="{reason}"}} '
    return next((float(line.split()[1]) for line in answer.text.splitlines() if line.startswith(start)), None)


@pytest.mark.parametrize("sent", [b"", HOST, b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_where_files_run_out_probes_are_answered_and_calls_again_once_they_are_there(
    tmp_path: Path, sent: bytes
) -> None:
    """More connections than the process may open files: silent, with half a head, or idle behind a request."""
    with server(SCRIPTED, free_port(), tmp_path, "--drain-delay", "0", LIMRANK_TEST_FILES="100") as running:
        with ExitStack() as stack:
            for _ in range(120):
                try:
                    stack.enter_context(connected(running.url)).sendall(sent)
                except ConnectionError:
                    continue  # beyond all bounds
            wait_until(lambda: answers(running, "/health/live"), "no probe is answered", 0.05)
        wait_until(lambda: ranks(running), "no call is answered", 0.05)


def answers(running: ServerProcess, path: str) -> bool:
    try:
        return running.get(path).status_code == 200
    except httpx.TransportError:
        return False


def ranks(running: ServerProcess) -> bool:
    try:
        return running.rerank({"query": "gout", "documents": ["gout hurts"]}).status_code == 200
    except httpx.TransportError:
        return False
