"""The whole service over a scripted engine, live on a socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from service.app import create_app
from service.settings import Settings
from tests.fakes import ScriptedEngine


@contextmanager
def serving(engine: ScriptedEngine | None = None, **settings: Any) -> Iterator[str]:
    """The base URL of the service, with `settings` as in `service.settings`, on a free port of the loopback interface."""
    app = create_app(Settings(**settings), engine or ScriptedEngine()).app
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server did not start"
                time.sleep(0.005)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
