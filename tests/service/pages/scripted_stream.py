"""A server whose streams are scripted line by line: pages beside a rerank route that waits for the test."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse

from service.pages.router import page_router
from tests.service.serving import serving
from tests.waiting import PATIENCE

Line = dict[str, Any]
INFO: Line = {
    "version": "0",
    "model": {"name": "scripted", "score": "fitted"},
    "engine": {"name": "scripted", "version": "0", "device": "none", "dtype": "float32"},
    "modes": ["adaptive", "direct", "reasoning"],
    "default_mode": "direct",
    "limits": {"default_reasoning_tokens": 256, "max_reasoning_tokens": 512},
}


class ScriptedStream:
    """`send` puts a line on the stream that is open, `end` closes it. Keeps the bodies of requests."""

    def __init__(self, url: str, lines: queue.SimpleQueue[Line | None], bodies: list[Line]) -> None:
        self.url = url
        self.bodies = bodies
        self._lines = lines

    def send(self, *lines: Line) -> None:
        for line in lines:
            self._lines.put(line)

    def end(self) -> None:
        self._lines.put(None)


@contextmanager
def scripted_stream() -> Iterator[ScriptedStream]:
    lines: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
    bodies: list[Line] = []
    app = FastAPI()
    app.include_router(page_router(lambda scope: [], with_pages=True))

    def text() -> Iterator[bytes]:
        while (line := lines.get(timeout=PATIENCE)) is not None:
            yield json.dumps(line).encode() + b"\n"

    async def rerank(request: Request) -> StreamingResponse:
        bodies.append(await request.json())
        assert request.headers["accept"] == "application/x-ndjson"
        return StreamingResponse(text(), media_type="application/x-ndjson")

    async def info(request: Request) -> JSONResponse:
        return JSONResponse(INFO)

    app.add_route("/rerank", rerank, methods=["POST"])
    app.add_route("/info", info)
    with serving(app) as url:
        yield ScriptedStream(url, lines, bodies)
