"""A scripted OpenAI-compatible endpoint that answers multiple-choice questions; what costs money elsewhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Endpoint:
    """`reply` makes the content from what the user said; `refuse_format` answers 400 to any response_format."""

    reply: Callable[[str], str]
    refuse_format: bool = False
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.refuse_format and "response_format" in body:
            return 400, {"error": {"message": "no response_format here"}}
        self.bodies.append(body)
        content = self.reply(body["messages"][-1]["content"])
        return 200, {"choices": [{"message": {"role": "assistant", "content": content}}]}


@contextmanager
def endpoint(reply: Callable[[str], str], *, refuse_format: bool = False) -> Iterator[Endpoint]:
    scripted = Endpoint(reply, refuse_format)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = scripted.answer(body)
            sent = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        scripted.url = f"http://127.0.0.1:{listening.server_address[1]}/v1"
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield scripted
        listening.shutdown()
        thread.join(10)
