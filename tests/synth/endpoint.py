"""A scripted OpenAI-compatible endpoint over real HTTP: a reply follows from its request alone, and all are counted.

In a test: `with ScriptedEndpoint() as endpoint: ...` (a thread). As a process: `python -m tests.synth.endpoint
--latency 0.05`, which prints its address and, for every line it reads, what it counted so far.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from types import TracebackType
from typing import Any, Self

from tests.waiting import PATIENCE, wait_until

WORDS = ("river", "engine", "clause", "ledger", "tissue", "orbit", "lesson", "violin", "recipe", "harbour", "statute")


@dataclass(frozen=True, slots=True)
class Fault:
    """What an endpoint does instead of answering. `content` (if set) goes into an otherwise good reply."""

    status: int = 200
    body: str | None = None  # the whole body
    content: str | None = None
    finish: str = "stop"
    refusal: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    hang: bool = False  # take the request and never answer
    cut: bool = False  # break the connection in the middle of the body


Script = Callable[[int, dict[str, Any]], Fault | None]
"""Called with the number of the request (from 1) and its body; None means a good reply."""


@dataclass
class Counts:
    """What was asked. `bodies` counts equal bodies; `most_at_once` is the largest number of requests in flight."""

    requests: int = 0
    answered: int = 0
    at_once: int = 0
    most_at_once: int = 0
    bodies: dict[str, int] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    held: float = 0.0  # seconds between requests and their answers, in all


class ScriptedEndpoint:
    """Listens on a free port of 127.0.0.1; `url` ends in /v1. `keep` False keeps no bodies (for millions of calls).

    Requests after the first `free` ones are answered when they are released.
    """

    def __init__(
        self,
        latency: float = 0.0,
        script: Script | None = None,
        *,
        schemas: bool = True,
        keep: bool = True,
        free: int | None = None,
    ) -> None:
        self.latency = latency
        self.free = free
        self.held: list[Callable[[], None]] = []
        self.connections = 0
        self.script = script
        self.schemas = schemas
        self.keep = keep
        self.counts = Counts()
        self.url = ""
        self.ready = threading.Event()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True)
        self._thread.start()
        assert self.ready.wait(PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)

    def release(self) -> None:
        """Answer the requests that are held, and all that come from now on."""

        def answer() -> None:
            self.free = None
            for send in self.held:
                send()

        self._loop.call_soon_threadsafe(answer)

    def wait_until_left(self) -> None:
        """Return when every client has closed its connections: all that they sent is counted."""
        wait_until(lambda: self.connections == 0, lambda: f"{self.connections} connections are open", 0.001)

    async def serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self.ready.set()
        await self._stop.wait()
        server.close()

    def take(self, head: str, body: bytes) -> tuple[bytes, Fault | None]:
        """The bytes to answer one request with."""
        counts = self.counts
        counts.requests += 1
        counts.times.append(time.monotonic())
        if not self.keep and self.script is None and self.schemas:
            return _quick(body), None
        request = json.loads(body)
        if self.keep:
            counts.bodies[body.decode()] = counts.bodies.get(body.decode(), 0) + 1
            counts.log.append(request)
            counts.headers.append(head)
        fault = self.script(counts.requests, request) if self.script else None
        if fault is None and not self.schemas and "json_schema" in json.dumps(request.get("response_format")):
            fault = Fault(400, '{"error": {"message": "response_format json_schema is not supported"}}')
        return _response(request, fault), fault


class _Connection(asyncio.Protocol):
    def __init__(self, endpoint: ScriptedEndpoint) -> None:
        self._endpoint = endpoint
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._endpoint.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._endpoint.connections -= 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.decode("latin-1").lower().split("\r\n")
        size = next((int(line.split(":")[1]) for line in lines if line.startswith("content-length:")), 0)
        if len(rest) < size:
            return
        self._buffer = rest[size:]
        self._answer(head.decode("latin-1"), rest[:size])

    def _answer(self, head: str, body: bytes) -> None:
        counts = self._endpoint.counts
        answer, fault = self._endpoint.take(head, body)
        counts.at_once += 1
        counts.most_at_once = max(counts.most_at_once, counts.at_once)
        send = partial(self._send, answer, fault, time.monotonic())
        if self._endpoint.free is not None and counts.requests > self._endpoint.free:
            self._endpoint.held.append(send)
        elif fault is None or not fault.hang:
            asyncio.get_running_loop().call_later(self._endpoint.latency, send)

    def _send(self, answer: bytes, fault: Fault | None, begun: float) -> None:
        counts = self._endpoint.counts
        counts.at_once -= 1
        counts.answered += 1
        counts.held += time.monotonic() - begun
        if fault is not None and fault.cut:
            self._transport.write(answer[: len(answer) - 20])
            self._transport.close()
        else:
            self._transport.write(answer)


def _quick(body: bytes) -> bytes:
    """As `_response`, for measurements: the reply has the shape that the request names, and a mark of the request."""
    shape = next(shape for shape in _QUICK if b'"name":"' + shape + b'"' in body or b'"name": "' + shape + b'"' in body)
    return _QUICK[shape].replace(b"MARKMARK", b"%08x" % zlib.crc32(body))


def _response(request: dict[str, Any], fault: Fault | None) -> bytes:
    fault = fault or Fault()
    body = fault.body if fault.body is not None else completion(request, fault)
    encoded = body.encode()
    headers = {"content-type": "application/json", "content-length": str(len(encoded))} | dict(fault.headers)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {fault.status} Scripted\r\n{head}\r\n".encode() + encoded


def completion(request: dict[str, Any], fault: Fault) -> str:
    """A chat completion; prompt tokens are the prompt's words, completion tokens the reply's."""
    prompt = "\n".join(message["content"] for message in request["messages"])
    content = fault.content if fault.content is not None else json.dumps(answer(prompt))
    message = {"role": "assistant", "content": None if fault.refusal else content, "refusal": fault.refusal}
    usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(content.split())}
    choice = {"index": 0, "message": message, "finish_reason": fault.finish}
    return json.dumps({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage})


def answer(prompt: str) -> dict[str, Any]:
    """The reply that belongs to a prompt: always the same, told apart by what the built-in templates ask for."""
    mark = sha256(prompt.encode()).hexdigest()
    text = " ".join(WORDS[int(digit, 16) % len(WORDS)] for digit in mark[:24])
    if '"daily_life"' in prompt:
        return {
            "daily_life": {"query": f"what about the {text} {mark[:8]}?", "relevance": f"It explains the {text}."},
            "expert": {"query": f"state of the {text} {mark[8:16]}", "relevance": f"It defines the {text}."},
        }
    if '"passage": "..."' in prompt:
        kind = "misses" if "fails in exactly this way" in prompt else "fits"
        return {"reasoning": f"It {kind} the {text}.", "passage": f"This {kind} {mark}: the {text}, as it is known."}
    if '"queries": [' in prompt:
        return {"queries": [f"how does the {text} {mark[:6]} work", f"why is the {text} {mark[6:12]} so"]}
    wrong = int(mark[:4], 16) % 10 == 0
    if '"score"' in prompt:
        return {"reasoning": f"The passage has the {text}.", "score": 5 if wrong else int(mark[4], 16) % 11}
    return {"reasoning": f"The query needs the {text}.", "relevant": ("This fits" in prompt) is not wrong}


def _quick_responses() -> dict[bytes, bytes]:
    query = {"query": "what of MARKMARK and its like", "relevance": "It says what MARKMARK is."}
    contents: dict[str, dict[str, Any]] = {
        "QueryPair": {"daily_life": query, "expert": query | {"query": "the state of MARKMARK"}},
        "Passage": {"reasoning": "It is about MARKMARK.", "passage": "MARKMARK " + " ".join(WORDS * 6)},
        "Judgement": {"reasoning": "The query asks for MARKMARK. " + " ".join(WORDS * 3), "relevant": True},
    }
    usage = {"messages": [{"content": "a prompt"}]}
    return {name.encode(): _response(usage, Fault(content=json.dumps(content))) for name, content in contents.items()}


_QUICK = _quick_responses()


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0.0)
    endpoint = ScriptedEndpoint(parser.parse_args().latency, keep=False)
    serving = asyncio.create_task(endpoint.serve())
    await asyncio.to_thread(endpoint.ready.wait)
    print(endpoint.url, flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        counts = endpoint.counts
        told = {
            "requests": counts.requests,
            "most_at_once": counts.most_at_once,
            "times": counts.times,
            "held": counts.held / max(1, counts.answered),
        }
        print(json.dumps(told), flush=True)
    serving.cancel()


if __name__ == "__main__":
    asyncio.run(_main())
