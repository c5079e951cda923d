"""What the service itself costs: everything but the model, measured with an engine that answers at once.

The server runs as a process of its own, pinned to one core; the caller is on another where there is one. Medians of
rounds; exit code 1 when a target is missed.

    documents/s   calls of 100 documents of 150 words, 4 at a time         target >= 3000
    ms a call     calls of 10 documents of 150 words, one after another,
                  as the server measures them (Server-Timing is less than
                  all: the access log's `ms` counts from the request's
                  head to the answer's last byte)                          target <= 2.0
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.ports import free_port
from tests.processes import ServerProcess, server

ROUNDS = 7
CALLS_PER_ROUND = 40
DOCUMENTS_PER_SECOND_TARGET = 3000.0
MILLISECONDS_TARGET = 2.0
_WORDS = (
    "the",
    "of",
    "a",
    "glacier",
    "valley",
    "moves",
    "slowly",
    "under",
    "its",
    "own",
    "weight",
    "and",
    "carries",
    "rock",
)


def main() -> int:
    """Print the table; 0 when both targets are met."""
    with (
        tempfile.TemporaryDirectory() as folder,
        server("tests.service.scripted_server", free_port(), Path(folder)) as running,
    ):
        os.sched_setaffinity(running.process.pid, {0})
        os.sched_setaffinity(0, set(range(os.cpu_count() or 1)) - {0} or {0})
        rates = [asyncio.run(_documents_per_second(running)) for _ in range(ROUNDS)]
        _small_calls(running, ROUNDS * CALLS_PER_ROUND)
        milliseconds = _milliseconds(running)[-ROUNDS * CALLS_PER_ROUND :]
    return _report(rates, milliseconds)


def _documents(count: int, seed: int) -> list[str]:
    choose = random.Random(seed).choices
    return [" ".join(choose(_WORDS, k=150)) for _ in range(count)]


async def _documents_per_second(running: ServerProcess) -> float:
    bodies = [json.dumps({"query": "how do glaciers move", "documents": _documents(100, n)}).encode() for n in range(4)]
    async with httpx.AsyncClient(base_url=running.url, timeout=60) as client:

        async def call(content: bytes) -> None:
            for _ in range(CALLS_PER_ROUND // 4):
                answer = await client.post("/rerank", content=content)
                answer.raise_for_status()

        begun = time.perf_counter()
        await asyncio.gather(*(call(content) for content in bodies))
        return CALLS_PER_ROUND * 100 / (time.perf_counter() - begun)


def _small_calls(running: ServerProcess, count: int) -> None:
    content = json.dumps({"query": "how do glaciers move", "documents": _documents(10, 0)}).encode()
    with httpx.Client(base_url=running.url, timeout=60) as client:
        for _ in range(count):
            client.post("/rerank", content=content).raise_for_status()


def _milliseconds(running: ServerProcess) -> list[float]:
    lines = (json.loads(line) for line in running.log.read_text().splitlines() if line.startswith("{"))
    return [line["ms"] for line in lines if line.get("event") == "request" and line["documents"] == 10]


def _report(rates: list[float], milliseconds: list[float]) -> int:
    rate, small = statistics.median(rates), statistics.median(milliseconds)
    met = rate >= DOCUMENTS_PER_SECOND_TARGET, small <= MILLISECONDS_TARGET
    p95 = statistics.quantiles(milliseconds, n=20)[-1]
    print(f"service cost, instant engine, one core; Python {platform.python_version()}, {platform.machine()}")
    spread = f"min {min(rates):.0f}, max {max(rates):.0f}"
    print(f"  documents/s of 150 words: {rate:8.0f}  ({spread}; target >= 3000) {_mark(met[0])}")
    print(f"  ms for a call of 10:      {small:8.2f}  (p95 {p95:.2f}; target <= 2.0) {_mark(met[1])}")
    return 0 if all(met) else 1


def _mark(met: bool) -> str:
    return "met" if met else "MISSED"


if __name__ == "__main__":
    sys.exit(main())
