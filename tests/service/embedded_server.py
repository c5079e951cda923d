"""The real service with the embedded model as a process, shared by the tests that look at it from outside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port
from tests.processes import ServerProcess, server


@contextmanager
def embedded_server(folder: Path, *arguments: str, **environment: str) -> Iterator[ServerProcess]:
    """`limrank-serve` with its defaults, but for its deadline: a test has one only where it says so. A first start on a
    machine converts the model, which takes half a minute."""
    environment.setdefault("LIMRANK_REQUEST_TIMEOUT_SECONDS", "3600")
    if cache := os.environ.get("LIMRANK_TEST_CACHE"):
        environment["LIMRANK_CACHE_DIR"] = cache
    arguments = ("--drain-delay", "0", *arguments)
    with server("service.main", free_port(), folder, *arguments, **environment) as running:
        yield running
