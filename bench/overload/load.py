"""Calls with deadlines that come at given instants, whatever becomes of those before, and what their callers see."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
import orjson

SIZES = (30, 100)  # documents
DUES = (10.0, 60.0)  # seconds
AT_ONCE = 1.0  # seconds within which a refusal counts as one at the door
_FULL_CALLERS = 4
_FULL_DOCUMENTS = 30
_NOT_COUNTED = 0.25  # of the time, at its begin
_TEXTS = 512
_WORDS = "the of and river bank water stone history science market energy light cell engine music garden city winter"


@dataclass(frozen=True, slots=True)
class Call:
    """Comes `at` seconds after the begin, due so many seconds later."""

    at: float
    documents: int
    due: float


@dataclass(slots=True)
class Seen:
    """What became of calls. `in_time`: documents of calls answered by their deadline, within `counted_seconds`;
    seconds that the refusals took, those at the door (`refused`) and those later (`given_up`); `late`: 504, or 200
    after the deadline; `unanswered` at the end; `retry_after` of refusals, and those `without_advice`."""

    counted_seconds: float
    in_time: int = 0
    answered: int = 0
    late: int = 0
    unanswered: int = 0
    without_advice: int = 0
    refused: list[float] = field(default_factory=list)
    given_up: list[float] = field(default_factory=list)
    retry_after: list[float] = field(default_factory=list)
    others: Counter[int] = field(default_factory=Counter)


def arrivals(rate: float, seconds: float) -> list[Call]:
    """Calls that come to `rate` documents a second, at random instants: the same every time."""
    draw, calls, at = random.Random(20), [], 0.0
    while (at := at + draw.expovariate(rate / (sum(SIZES) / 2))) < seconds:
        calls.append(Call(at, draw.randint(*SIZES), draw.choice(DUES)))
    return calls


class _Texts:
    """Documents of so many words, made once: the caller is to take little of the machine."""

    def __init__(self, words: int, mode: str) -> None:
        self._draw, self._mode = random.Random(words), mode
        self._texts = [" ".join(self._draw.choices(_WORDS.split(), k=words)) for _ in range(_TEXTS)]

    def body(self, documents: int) -> bytes:
        query = f"how does the {' '.join(self._draw.choices(_WORDS.split(), k=4))} work"
        return orjson.dumps(
            {"query": query, "documents": self._draw.sample(self._texts, documents), "mode": self._mode}
        )


async def kept_full(url: str, mode: str, words: int, seconds: float) -> float:
    """Documents a second of an engine that always has enough to do."""
    texts, ended = _Texts(words, mode), []
    until = time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=url, timeout=600) as client:

        async def caller() -> None:
            while time.monotonic() < until:
                (await client.post("/rerank", content=texts.body(_FULL_DOCUMENTS))).raise_for_status()
                ended.append(time.monotonic())

        await asyncio.gather(*(caller() for _ in range(_FULL_CALLERS)))
    # The last calls end while fewer and fewer are left.
    counted = sorted(ended)[_FULL_CALLERS - 1 : -_FULL_CALLERS + 1]
    return (len(counted) - 1) * _FULL_DOCUMENTS / (counted[-1] - counted[0])


async def offered(url: str, mode: str, words: int, calls: Sequence[Call], seconds: float) -> Seen:
    """Send `calls`. What is not answered after so many seconds is left: its callers go."""
    texts = _Texts(words, mode)
    bodies = [texts.body(call.documents) for call in calls]
    seen = Seen((1 - _NOT_COUNTED) * seconds)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as client:
        begun = time.monotonic()

        async def send(call: Call, body: bytes) -> None:
            await asyncio.sleep(begun + call.at - time.monotonic())
            sent = time.monotonic()
            headers = {"X-Request-Timeout-Ms": str(int(call.due * 1000))}
            answer = await client.post("/rerank", content=body, headers=headers)
            _note(
                seen, call, answer, time.monotonic() - sent, counts=time.monotonic() >= begun + _NOT_COUNTED * seconds
            )

        tasks = [asyncio.create_task(send(call, body)) for call, body in zip(calls, bodies, strict=True)]
        _, left = await asyncio.wait(tasks, timeout=max(0.0, begun + seconds - time.monotonic()))
        seen.unanswered = len(left)
        for task in left:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
    await _until_idle(url)
    return seen


def _note(seen: Seen, call: Call, answer: httpx.Response, took: float, *, counts: bool) -> None:
    if answer.status_code == 200:
        seen.answered += 1
        seen.late += took > call.due
        seen.in_time += call.documents if counts and took <= call.due else 0
    elif answer.status_code == 503:
        (seen.refused if took <= AT_ONCE else seen.given_up).append(took)
        advice = answer.headers.get("Retry-After")
        seen.without_advice += advice is None
        if advice is not None:
            seen.retry_after.append(float(advice))
    elif answer.status_code == 504:
        seen.late += 1
    else:
        seen.others[answer.status_code] += 1


async def _until_idle(url: str) -> None:
    """Until the server has forgotten the calls whose callers left."""
    async with httpx.AsyncClient(base_url=url, timeout=600) as client:
        while True:
            lines = (await client.get("/metrics")).text.splitlines()
            if any(line == "limrank_running_documents 0.0" for line in lines):
                return
            await asyncio.sleep(0.1)
