"""The time of a streamed call compared to an ordinary one: 100 documents on limrank-mini, one call at a time.

The server runs in its own process with its defaults. Both kinds of call take turns to go first. Query and documents are
the same within a round and new in the next, so that neither kind profits more from a cache. The client reads every
event as it arrives. Exits with 1 when the median of the rounds' ratios is above the target. The server's own processor
time is printed beside the elapsed time, because it depends less on what else the machine does.

    python -m bench.streaming.stream_bench [rounds]
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.service.embedded_server import embedded_server

ROUNDS = 9
DOCUMENTS = 100
WORDS_PER_DOCUMENT = 100
TARGET = 1.05
LINES = {"Accept": "application/x-ndjson"}
_WORDS = ("the", "of", "a", "glacier", "valley", "moves", "slowly", "under", "its", "weight", "and", "carries", "rock")


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds of both calls, processor seconds of the server for each, and seconds until the first streamed event."""

    ordinary: float
    streamed: float
    ordinary_cpu: float
    streamed_cpu: float
    first: float


def main() -> int:
    """Prints the table. Returns 0 when the target is met."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded_server(Path(folder)) as running,
        httpx.Client(base_url=running.url, timeout=3600) as client,
    ):
        pid = running.process.pid
        measured = [_round(client, pid, number) for number in range(-1, rounds)][1:]  # the first round warms up
    for each in measured:
        print(
            f"ordinary {each.ordinary:7.3f} s (processor {each.ordinary_cpu:7.3f} s)   "
            f"streamed {each.streamed:7.3f} s (processor {each.streamed_cpu:7.3f} s)   first event {each.first:7.3f} s"
        )
    cpu = statistics.median(each.streamed_cpu / each.ordinary_cpu for each in measured)
    print(f"processor time, streamed / ordinary, median of {rounds} rounds: {cpu:.3f}")
    ratio = statistics.median(each.streamed / each.ordinary for each in measured)
    print(f"streamed / ordinary, median of {rounds} rounds: {ratio:.3f} (target <= {TARGET})")
    return 0 if ratio <= TARGET else 1


def _round(client: httpx.Client, pid: int, number: int) -> Round:
    body = _body(random.Random(number))
    calls: dict[str, Callable[[], float]] = {
        "ordinary": lambda: _ordinary(client, body),
        "streamed": lambda: _streamed(client, body),
    }
    seconds: dict[str, float] = {}
    cpu: dict[str, float] = {}
    first = 0.0
    for kind in sorted(calls, reverse=number % 2 == 1):
        begun, used = time.perf_counter(), _processor_seconds(pid)
        first = max(first, calls[kind]())
        seconds[kind], cpu[kind] = time.perf_counter() - begun, _processor_seconds(pid) - used
    return Round(seconds["ordinary"], seconds["streamed"], cpu["ordinary"], cpu["streamed"], first)


def _processor_seconds(pid: int) -> float:
    """User and system time of a process so far, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _body(choose: random.Random) -> dict[str, Any]:
    documents = [" ".join(choose.choices(_WORDS, k=WORDS_PER_DOCUMENT)) for _ in range(DOCUMENTS)]
    return {"query": " ".join(choose.choices(_WORDS, k=8)), "documents": documents}


def _ordinary(client: httpx.Client, body: dict[str, Any]) -> float:
    answer = client.post("/rerank", json=body)
    assert len(answer.json()["results"]) == DOCUMENTS
    return 0.0


def _streamed(client: httpx.Client, body: dict[str, Any]) -> float:
    begun, first, lines = time.perf_counter(), 0.0, 0
    with client.stream("POST", "/rerank", json=body, headers=LINES) as answer:
        for _ in answer.iter_lines():
            first = first or time.perf_counter() - begun
            lines += 1
    assert lines == DOCUMENTS + 1
    return first


if __name__ == "__main__":
    sys.exit(main())
