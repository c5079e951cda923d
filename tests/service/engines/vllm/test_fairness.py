"""Small calls beside a call of a thousand documents. A model of two small layers: what is measured is whose turn it is.

The thousand-document call is kept up by sending the next one when one ends, so that it runs all the time. The server
idle, and beside that call, are measured in turns: what else the machine does meanwhile slows down both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import count, islice

import httpx
import pytest

from tests.processes import ServerProcess
from tests.service.engines.company import TRACE_TOKENS, passages, slow, wait_until_full
from tests.waiting import PATIENCE

ROUNDS = 2
CALLS = 16  # beside the large call, in each round
IDLE_CALLS = 10


async def call(client: httpx.AsyncClient, mode: str, documents: list[str], seed: int) -> float:
    """Seconds until the answer."""
    budget = {"mode": mode, "max_reasoning_tokens": TRACE_TOKENS}
    begun = time.monotonic()
    answer = await client.post("/rerank", json={"query": f"query number {seed}", "documents": documents} | budget)
    assert answer.status_code == 200, answer.text
    return time.monotonic() - begun


@pytest.mark.parametrize("mode", ["direct", "reasoning"])
async def test_small_calls_stay_quick_beside_a_call_of_a_thousand_documents(tiny: ServerProcess, mode: str) -> None:
    idle: list[float] = []
    loaded: list[float] = []
    small = ((seed, passages(10, seed)) for seed in count())
    async with httpx.AsyncClient(base_url=tiny.url, timeout=PATIENCE) as client:
        for _ in range(ROUNDS):
            idle += await small_calls(client, mode, islice(small, IDLE_CALLS))
            large = asyncio.create_task(thousands(client, mode))
            await asyncio.to_thread(wait_until_full, tiny)
            loaded += await small_calls(client, mode, islice(small, CALLS))
            assert not large.done()
            large.cancel()
            await asyncio.gather(large, return_exceptions=True)
            await asyncio.to_thread(tiny.wait_for, "limrank_running_documents", 0)
    print(f"{mode}: idle {slow(idle):.3f} s, beside 1000 documents {slow(loaded):.3f} s")
    assert slow(loaded) <= 3 * slow(idle)


async def small_calls(client: httpx.AsyncClient, mode: str, calls: Iterator[tuple[int, list[str]]]) -> list[float]:
    return [await call(client, mode, documents, seed) for seed, documents in calls]


async def thousands(client: httpx.AsyncClient, mode: str) -> None:
    documents = passages(1000, 99)
    for seed in count(10_000):
        await call(client, mode, documents, seed)
