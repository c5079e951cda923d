"""An app behind the real uvicorn on a free port of this machine, for as long as a test needs it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from service.api.app import Composition, create_app
from service.engine import Engine
from service.settings import Settings
from tests.fakes import ScriptedEngine
from tests.waiting import PATIENCE, wait_until

__all__ = ["KEYS", "SECRET", "WITH_KEY", "guarded_service", "serving", "wait_until", "waiting_client"]

SECRET = "a-secret-of-the-tests-0123456789"
KEYS = f'[[keys]]\nname = "tests"\nsecret = "{SECRET}"\n'
WITH_KEY = {"Authorization": f"Bearer {SECRET}"}


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """The base URL of `app`, whose lifespan runs."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server did not start"
                time.sleep(0.002)
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the server does not stop"


@contextmanager
def waiting_client(url: str, path: str, body: object) -> Iterator[None]:
    """A client that posts `body` and leaves behind the block, whether it was answered or not."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {len(content)}\r\n\r\n"
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head.encode() + content)
        yield


def guarded_service(folder: Path, engine: Engine | None = None, **settings: object) -> Composition:
    """The service around a scripted engine, with one key (`WITH_KEY` opens it)."""
    keys_file = folder / "keys.toml"
    keys_file.write_text(KEYS)
    return create_app(Settings.model_validate({"keys_file": keys_file, **settings}), engine or ScriptedEngine())
