"""Bodies are bounded in memory, and not in bytes of JSON: very many small values take no more than their bytes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.service.body_bench import BODIES, memory, post, reset_peak
from tests.ports import free_port
from tests.processes import ServerProcess, server

AT_ONCE = 3
# Pieces and their join, what is looked through, the answer: a few times the bytes. As objects each took 380 MiB.
MOST = 16 * 8 * AT_ONCE


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("memory")
    with server("tests.service.scripted_server", free_port(), folder) as running:
        post(running, BODIES["usual text"]())
        yield running


@pytest.mark.parametrize("name", [name for name in BODIES if name != "usual text"])
def test_very_many_values_take_a_few_times_their_bytes(running: ServerProcess, name: str) -> None:
    body = BODIES[name]()
    reset_peak(running)
    before = memory(running, "VmRSS")
    with ThreadPoolExecutor(AT_ONCE) as callers:
        statuses = set(callers.map(lambda _: post(running, body), range(AT_ONCE)))
    assert statuses == ({413} if name == "{} as documents" else {200})
    assert memory(running, "VmHWM") - before < MOST
    assert running.get("/health/live").status_code == 200


def test_documents_that_wait_to_come_back_are_held_as_text(running: ServerProcess, tmp_path: Path) -> None:
    """Many calls of usual size, none of which is heavy: as objects their documents would take 24 times their bytes."""
    values = b"{}," * 20_000
    body = b'{"query": "a", "return_documents": true, "documents": ["stuck", {"text": "a", "x": [' + values + b"0]}]}"
    calls = 200
    with (
        server("tests.service.scripted_server", free_port(), tmp_path, "--request-timeout-seconds", "30") as waiting,
        ThreadPoolExecutor(calls) as callers,
    ):
        before = memory(waiting, "VmRSS")
        answers = [callers.submit(post, waiting, body) for _ in range(calls)]
        while waiting.metric("limrank_held_bytes") < calls * len(body) and not any(each.done() for each in answers):
            time.sleep(0.05)
        growth = memory(waiting, "VmRSS") - before
        assert {each.result() for each in answers} <= {503, 504}  # 503: given up before its deadline, as hopeless
    assert growth < 200, f"{calls * len(body) / 2**20:.0f} MiB of bodies"
