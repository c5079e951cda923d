"""An HTTP server that is no limrank-serve, or one in trouble: it answers what a test scripts."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

INFO = json.dumps({"model": {"name": "scripted"}, "default_mode": "direct"}).encode()
Reply = tuple[int, bytes] | None
"""Status and body; None breaks the connection."""


@contextmanager
def scripted(post: Callable[[bytes], Reply], info: Reply = (200, INFO)) -> Iterator[str]:
    """The base URL of a server that answers `info` to GET, and to a POST what `post` returns for its body."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(info)

        def do_POST(self) -> None:
            self._send(post(self.rfile.read(int(self.headers["content-length"]))))

        def _send(self, reply: Reply) -> None:
            self.close_connection = True
            if reply is None:
                return
            self.send_response(reply[0])
            self.send_header("content-length", str(len(reply[1])))
            self.end_headers()
            self.wfile.write(reply[1])

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
