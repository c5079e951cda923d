"""Bad and odd input to the whole program: the real server, a real engine, a small model whose answers prove nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.processes import ServerProcess
from tests.service.api import bad_input
from tests.service.api.bad_input_cases import cases
from tests.service.embedded_server import embedded_server
from tests.waiting import PATIENCE


@pytest.fixture(scope="module")
def running(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    arguments = ("--model", str(small_model), "--max-tokens-per-doc", "300")
    with embedded_server(tmp_path_factory.mktemp("small"), *arguments) as server:
        yield server


def test_bad_and_odd_input_of_every_kind_is_answered_in_time(running: ServerProcess) -> None:
    """The table that the scripted engine is held against too, by eight callers at a time: each gets its answer before
    the server's own deadline, and a good request right after it works."""
    table = cases(max_documents=10_000, max_body_bytes=16 * 1024 * 1024)
    with httpx.Client(base_url=running.url, timeout=PATIENCE) as client, ThreadPoolExecutor(8) as callers:
        checks = [(case.name, callers.submit(bad_input.check, client, case)) for case in table]
        failures = {name: repr(error) for name, check in checks if (error := check.exception()) is not None}
    assert failures == {}
    assert set(re.findall(r"limrank_requests_total\{code=\"(5..)\".* [1-9]", running.get("/metrics").text)) == set()
