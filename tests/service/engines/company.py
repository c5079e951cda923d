"""Small calls alone and in company: what they cost beside large calls, as a ratio to what they cost without."""

from __future__ import annotations

import json
import random
import socket
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any

import httpx

from tests.processes import ServerProcess
from tests.service.http.raw import connected, post
from tests.waiting import PATIENCE, wait_until

TRACE_TOKENS = 12
_ROUNDS = 2
WORDS = "the of and river bank water stone history science market energy light cell engine music garden city winter"


def passages(count: int, seed: int, words: int = 100) -> list[str]:
    """Of words that are one token each."""
    choose = random.Random(seed).choices
    return [" ".join(choose(WORDS.split(), k=words)) for _ in range(count)]


def body(mode: str, documents: Sequence[str], seed: int) -> dict[str, Any]:
    budget = {"mode": mode, "max_reasoning_tokens": TRACE_TOKENS}
    return {"query": f"query number {seed}", "documents": documents, "top_n": 10} | budget


def call(client: httpx.Client, mode: str, documents: Sequence[str], seed: int) -> float:
    """Seconds until the answer."""
    begun = time.monotonic()
    answer = client.post("/rerank", json=body(mode, documents, seed))
    assert answer.status_code == 200, answer.text
    return time.monotonic() - begun


def slow(seconds: Sequence[float]) -> float:
    """What four calls of five stay below: of twenty calls a 95th percentile is the slowest one, which is what
    something else on the machine makes of it. `make hostile` and the benches measure that, with many more calls."""
    return statistics.quantiles(seconds, n=5)[-1]


@dataclass
class Crowd:
    """Calls that are kept up: `callers` connections, on each of which one call of `documents` follows another."""

    url: str
    mode: str
    callers: int
    documents: int
    headers: Mapping[str, str] = field(default_factory=dict)

    @contextmanager
    def present(self) -> Iterator[None]:
        """Ends what runs by closing its connections: a call of ten thousand documents is not waited for."""
        content = [
            json.dumps(body(self.mode, passages(self.documents, 99 + number), 10_000 + number)).encode()
            for number in range(self.callers)
        ]
        with ExitStack() as stack:
            connections = [stack.enter_context(connected(self.url, PATIENCE)) for _ in content]
            threads = [
                threading.Thread(target=self._keep_up, args=pair) for pair in zip(connections, content, strict=True)
            ]
            for thread in threads:
                thread.start()
            try:
                yield
            finally:
                for connection in connections:
                    connection.shutdown(socket.SHUT_RDWR)
                for thread in threads:
                    thread.join()

    def _keep_up(self, connection: socket.socket, content: bytes) -> None:
        request = post(*(f"{name}: {value}" for name, value in self.headers.items()), body=content)
        try:
            while True:
                connection.sendall(request)
                if not connection.recv(65536):
                    return
        except OSError:
            return


def wait_until_full(running: ServerProcess) -> None:
    """Until the engine holds all that it is to hold, in documents or in tokens, and others wait."""
    wait_until(
        lambda: bool(running.metric("limrank_running_documents") and running.metric("limrank_queued_documents")),
        "the engine was never full",
        0.01,
    )


def cost_in_company(
    running: ServerProcess,
    crowd: Crowd,
    *,
    calls: int,
    words: int = 100,
    documents: int = 10,
    headers: Mapping[str, str] | None = None,
) -> float:
    """How slow small calls are beside `crowd`, to how slow they are without it: in turns, as what else the machine does
    slows down both."""
    seeds = count()
    alone: list[float] = []
    beside: list[float] = []
    with httpx.Client(base_url=running.url, timeout=PATIENCE, headers=dict(headers or {})) as client:

        def some(many: int) -> list[float]:
            return [call(client, crowd.mode, passages(documents, seed, words), seed) for seed in islice(seeds, many)]

        some(3)
        for _ in range(_ROUNDS):
            alone += some(calls // _ROUNDS // 2)
            try:
                with crowd.present():
                    wait_until_full(running)
                    beside += some(calls // _ROUNDS)
            finally:  # so that what fails here leaves nothing to the next test
                running.wait_for("limrank_inflight_requests", 0)
            alone += some(calls // _ROUNDS // 2)
    print(f"{crowd.mode}: alone {slow(alone):.3f} s, in company {slow(beside):.3f} s")
    return slow(beside) / slow(alone)
