"""The cost of bodies with very many JSON values: memory relative to their size, and how long they block other answers.

Sends each body of 16 MiB to a service with a scripted engine, four at a time. Prints the growth of peak resident
memory, the longest latency of `GET /health/live` meanwhile, and the time for all four.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.ports import free_port
from tests.processes import ServerProcess, server

BYTES = 16 * 1024 * 1024 - 1024
AT_ONCE = 4
_USUAL = b'"' + b"the glacier moves slowly under its own weight, and carries rock. " * 40 + b'",'


def _unknown(many: bytes) -> bytes:
    return b'{"query": "a", "documents": ["a"], "x": [' + many + b"0]}"


def _returned(many: bytes) -> bytes:
    return b'{"query": "a", "return_documents": true, "documents": [{"text": "a", "x": [' + many + b"0]}]}"


def _documents(many: bytes) -> bytes:
    return b'{"query": "a", "documents": [' + many + b'"a"]}'


def filled(make: Callable[[bytes], bytes], unit: bytes, size: int = BYTES) -> bytes:
    """A body of about `size` bytes that repeats `unit`."""
    return make(unit * (size // len(unit)))


def many_keys(size: int = BYTES) -> bytes:
    """A body whose one document has as many keys as fit."""
    keys = b",".join(b'"%07x":1' % number for number in range(size // 12))
    return b'{"query": "a", "documents": [{"text": "a", ' + keys + b"}]}"


BODIES: dict[str, Callable[[], bytes]] = {
    "usual text": lambda: filled(_documents, _USUAL),
    "{} in an unknown field": lambda: filled(_unknown, b"{},"),
    "1 in an unknown field": lambda: filled(_unknown, b"1,"),
    "nested lists in an unknown field": lambda: filled(_unknown, b"[[[[[[]]]]]],"),
    "{} in a document that comes back": lambda: filled(_returned, b"{},"),
    '{"a":1} in a document that comes back': lambda: filled(_returned, b'{"a":1},'),
    "1.3 million keys of a document": many_keys,
    "{} as documents": lambda: filled(_documents, b"{},"),
}


def main() -> int:
    """Prints one line per body."""
    with (
        tempfile.TemporaryDirectory() as folder,
        server("tests.service.scripted_server", free_port(), Path(folder)) as running,
    ):
        print(f"{AT_ONCE} bodies of 16 MiB at once")
        for name, make in BODIES.items():
            print(f"  {name:40}", _measured(running, make()), flush=True)
    return 0


def _measured(running: ServerProcess, body: bytes) -> str:
    reset_peak(running)
    before, start = memory(running, "VmRSS"), time.perf_counter()
    done = threading.Event()
    waits: list[float] = []
    watch = threading.Thread(target=_watch, args=(running, done, waits))
    watch.start()
    with ThreadPoolExecutor(AT_ONCE) as callers:
        statuses = list(callers.map(lambda _: post(running, body), range(AT_ONCE)))
    took = time.perf_counter() - start
    done.set()
    watch.join()
    peak = memory(running, "VmHWM") - before
    return f"peak {peak:5.0f} MiB, liveness {max(waits):5.2f} s, {took:5.1f} s, {sorted(statuses)}"


def _watch(running: ServerProcess, done: threading.Event, waits: list[float]) -> None:
    with httpx.Client(base_url=running.url, timeout=120) as client:
        while not done.is_set():
            start = time.perf_counter()
            client.get("/health/live")
            waits.append(time.perf_counter() - start)
            time.sleep(0.02)


def post(running: ServerProcess, body: bytes) -> int:
    """Sends a call with this body and returns the status."""
    return httpx.post(f"{running.url}/rerank", content=body, timeout=120).status_code


def memory(running: ServerProcess, field: str) -> float:
    """A memory figure of the server in MiB: `VmRSS` is the current one, `VmHWM` the peak since `reset_peak`."""
    [line] = [line for line in _status(running).splitlines() if line.startswith(f"{field}:")]
    return int(line.split()[1]) / 1024


def reset_peak(running: ServerProcess) -> None:
    """Resets the peak of the server's memory."""
    Path(f"/proc/{running.process.pid}/clear_refs").write_text("5")


def _status(running: ServerProcess) -> str:
    return Path(f"/proc/{running.process.pid}/status").read_text()


if __name__ == "__main__":
    sys.exit(main())
