"""A tiny app behind a guard with small limits, served by uvicorn in a thread of the test's process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from starlette.types import Receive, Scope, Send

from service.http.connections import Connections
from service.http.limits import HttpLimits, Refusal
from service.http.protocol import Guard, GuardedConfig
from tests.ports import free_port

PROBES = frozenset({"/health/live"})


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class Guarded:
    """What the app saw and answers: `/early` answers 413 before the body, `/large` sends `large` bytes, else the length
    of the body."""

    def __init__(self, limits: HttpLimits, connections: int, large: int, origins: Sequence[str]) -> None:
        self.large = large
        self.refusals: list[int] = []
        self.trailers_seen = False
        self.finished = threading.Event()  # an answer of /large was taken, or given up,
        self.took = 0.0  # in so many seconds
        self.connections = Connections(connections)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        guard = Guard(limits, self.connections, self._refuse, PROBES, origins)
        settings = {"log_config": None, "access_log": False, "port": self.port, "interface": "asgi3"}
        self.server = _Server(GuardedConfig(self.app, guard, **settings))

    def _refuse(self, status: int, sentence: str) -> Refusal:
        self.refusals.append(status)
        return Refusal([(b"x-why", sentence.encode())], b"no")

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        if scope["path"] == "/early":
            await _answer(send, 413, b"too large")
            return
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message["body"])
            more = message["more_body"]
        self.trailers_seen = self.trailers_seen or any(name == b"x-trailer" for name, _ in scope["headers"])
        if scope["path"] == "/large":
            begun = time.monotonic()
            await _answer(send, 200, b"x" * self.large)
            self.took = time.monotonic() - begun
            self.finished.set()
        else:
            await _answer(send, 200, str(size).encode())


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def guarded(
    limits: HttpLimits | None = None, *, connections: int = 100, large: int = 0, origins: Sequence[str] = ()
) -> Iterator[Guarded]:
    """The app of `Guarded`, served until the block ends."""
    served = Guarded(limits or HttpLimits(), connections, large, origins)
    thread = threading.Thread(target=lambda: asyncio.run(served.server.serve()))
    thread.start()
    try:
        while not served.server.started:
            assert thread.is_alive()
        yield served
    finally:
        served.server.should_exit = served.server.force_exit = True
        thread.join()
