"""One endpoint called by several client processes, for more calls per second than one process can send.

Above a certain rate a client process keeps a core busy; docs/synth.md has measurements. Each process enforces its share
of the endpoint's concurrency itself, so it can be given questions in advance, and no slot idles while a question
travels between processes.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from llm.base import EndpointFailed, NoReply, Question, Reply
from llm.endpoint import Endpoint
from llm.openai import check_key
from llm.process import LONGEST_LINE, question_to_json, read_answer


class LLMProcesses:
    """An `LLM` that spreads questions over client processes, which start with the first question. Each gets an even
    part of the limits per minute."""

    def __init__(self, endpoint: Endpoint) -> None:
        check_key(endpoint)
        shares = endpoint.concurrency_shares()
        alike = {
            "processes": 1,
            "requests_per_minute": part_of(endpoint.requests_per_minute, len(shares)),
            "tokens_per_minute": part_of(endpoint.tokens_per_minute, len(shares)),
        }
        self._clients = [_Client(endpoint.model_copy(update=alike | {"concurrency": share})) for share in shares]

    async def ask(self, question: Question) -> Reply:
        """One reply, by the process with the least to do."""
        return await min(self._clients, key=lambda client: client.load).ask(question)

    async def close(self) -> None:
        await asyncio.gather(*(client.close() for client in self._clients))


class _Client:
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._asked = 0
        self._begun = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def load(self) -> float:
        """Questions without a reply, as a part of those that may be at the endpoint at once."""
        return len(self._waiting) / self._endpoint.concurrency

    async def ask(self, question: Question) -> Reply:
        self._asked += 1
        number = self._asked
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        await self._send({"id": number, "question": question_to_json(question)})
        return await future

    async def close(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._reading
            await self._process.wait()

    async def _send(self, value: dict[str, Any]) -> None:
        async with self._begun:
            if self._process is None:
                await self._begin()
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value).encode() + b"\n")

    async def _begin(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "llm.process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(self._endpoint.model_dump_json().encode() + b"\n")
        self._reading = asyncio.create_task(self._read(self._process.stdout))

    async def _read(self, lines: asyncio.StreamReader) -> None:
        while line := await lines.readline():
            answer = json.loads(line)
            future = self._waiting.pop(answer["id"])
            if future.cancelled():
                continue
            try:
                future.set_result(read_answer(answer))
            except (NoReply, EndpointFailed) as error:
                future.set_exception(error)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(EndpointFailed("A client process ended unasked; run again to go on."))
        self._waiting.clear()


def part_of(limit: int | None, parts: int) -> int | None:
    """An even part of a limit per minute, never 0."""
    return None if limit is None else max(1, limit // parts)
