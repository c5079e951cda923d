"""The cost of the service itself: everything but the model and its tokenizer, with an engine that answers immediately.

The server runs in its own process, pinned to one core; the caller runs on another core where there is one. Processor
time inside the tokenizer library is measured in the server, printed, and subtracted. Medians of rounds; exits with 1
when a target is missed.

    documents/s   calls of 100 documents of 150 words, 4 at a time         target >= 3000
    ms a call     calls of 10 documents of 150 words, one after another,
                  as the server measures them (the access log's `ms`, from
                  the request's head to the answer's last byte; this is
                  more than Server-Timing)                                 target <= 2.0

Both figures exclude the tokenizer library.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from tests.ports import free_port
from tests.processes import ServerProcess, server

ROUNDS = 7
CALLS_PER_ROUND = 40
DOCUMENTS_PER_ROUND = CALLS_PER_ROUND * 100
TOKENIZER = "instant_tokenizer_seconds_total"
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


@dataclass(frozen=True, slots=True)
class Round:
    """Wall-clock seconds of one round, and the part spent inside the tokenizer library; `ms` of each small call."""

    seconds: float
    tokenizer: float
    ms: tuple[float, ...] = ()


def main() -> int:
    """Prints the table. Returns 0 when both targets are met."""
    alone = {"TOKENIZERS_PARALLELISM": "false"}  # keeps its work in the thread that is measured
    with (
        tempfile.TemporaryDirectory() as folder,
        server("bench.service.instant_server", free_port(), Path(folder), **alone) as running,
    ):
        os.sched_setaffinity(running.process.pid, {0})
        os.sched_setaffinity(0, set(range(os.cpu_count() or 1)) - {0} or {0})
        large = [_round(running, lambda: asyncio.run(_large_calls(running))) for _ in range(ROUNDS)]
        small = [_small_round(running) for _ in range(ROUNDS)]
    return _report(large, small)


def _round(running: ServerProcess, calls: Callable[[], None]) -> Round:
    before, start = running.metric(TOKENIZER), time.perf_counter()
    calls()
    return Round(time.perf_counter() - start, running.metric(TOKENIZER) - before)


def _small_round(running: ServerProcess) -> Round:
    seconds = _round(running, lambda: _small_calls(running, CALLS_PER_ROUND))
    return replace(seconds, ms=tuple(_milliseconds(running)[-CALLS_PER_ROUND:]))


def _documents(count: int, seed: int) -> list[str]:
    choose = random.Random(seed).choices
    return [" ".join(choose(_WORDS, k=150)) for _ in range(count)]


async def _large_calls(running: ServerProcess) -> None:
    bodies = [json.dumps({"query": "how do glaciers move", "documents": _documents(100, n)}).encode() for n in range(4)]
    async with httpx.AsyncClient(base_url=running.url, timeout=60) as client:

        async def call(content: bytes) -> None:
            for _ in range(CALLS_PER_ROUND // 4):
                answer = await client.post("/rerank", content=content)
                answer.raise_for_status()

        await asyncio.gather(*(call(content) for content in bodies))


def _small_calls(running: ServerProcess, count: int) -> None:
    content = json.dumps({"query": "how do glaciers move", "documents": _documents(10, 0)}).encode()
    with httpx.Client(base_url=running.url, timeout=60) as client:
        for _ in range(count):
            client.post("/rerank", content=content).raise_for_status()


def _milliseconds(running: ServerProcess) -> list[float]:
    lines = (json.loads(line) for line in running.log.read_text().splitlines() if line.startswith("{"))
    return [line["ms"] for line in lines if line.get("event") == "request" and line["documents"] == 10]


def _report(large: Sequence[Round], small: Sequence[Round]) -> int:
    rates = [DOCUMENTS_PER_ROUND / (each.seconds - each.tokenizer) for each in large]
    with_all = [DOCUMENTS_PER_ROUND / each.seconds for each in large]
    library = [1000 * each.tokenizer / CALLS_PER_ROUND for each in small]
    own = [ms - took for each, took in zip(small, library, strict=True) for ms in each.ms]
    whole = [ms for each in small for ms in each.ms]
    rate, milliseconds = statistics.median(rates), statistics.median(own)
    met = rate >= DOCUMENTS_PER_SECOND_TARGET, milliseconds <= MILLISECONDS_TARGET
    p95 = statistics.quantiles(own, n=20)[-1]
    per_document = statistics.median(1e6 * each.tokenizer / DOCUMENTS_PER_ROUND for each in large)
    print(f"service cost, instant engine, one core; Python {platform.python_version()}, {platform.machine()}")
    spread = f"min {min(rates):.0f}, max {max(rates):.0f}"
    print(f"  documents/s of 150 words: {rate:8.0f}  ({spread}; target >= 3000) {_mark(met[0])}")
    print(f"    with the tokenizer:     {statistics.median(with_all):8.0f}  ({per_document:.0f} us of it a document)")
    print(f"  ms for a call of 10:      {milliseconds:8.2f}  (p95 {p95:.2f}; target <= 2.0) {_mark(met[1])}")
    took = statistics.median(library)
    print(f"    with the tokenizer:     {statistics.median(whole):8.2f}  ({took:.2f} ms of it a call)")
    return 0 if all(met) else 1


def _mark(met: bool) -> str:
    return "met" if met else "MISSED"


if __name__ == "__main__":
    sys.exit(main())
