"""Processes that `multiprocessing` would spawn, forked from a copy of this process instead: they import nothing again.

The copy is taken before anything starts threads, and serves as Python's own fork server does, but that no new
interpreter begins. What is forked gets the environment of the process that asks, as a spawned one does.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from multiprocessing import connection, context, forkserver, resource_tracker, spawn
from typing import Any, cast


def fork_what_is_spawned() -> None:
    """From here on, in this process and in those that it starts so. Call it while there is one thread."""
    _pass_the_environment_on()
    contexts = cast(Any, context)._concrete_contexts
    contexts["spawn"] = contexts["forkserver"]
    server = cast(Any, forkserver)._forkserver
    server.ensure_running = resource_tracker.ensure_running  # it runs already, and is no child of all that ask
    resource_tracker.ensure_running()
    address = cast(Any, connection).arbitrary_address("AF_UNIX")
    server._forkserver_address = address
    read, write = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        if not os.fork():
            os.close(write)
            try:
                forkserver.main(listener.detach(), read, [])
            finally:
                os._exit(0)
    os.close(read)
    server._forkserver_alive_fd = write


def _pass_the_environment_on() -> None:
    told, prepare = spawn.get_preparation_data, spawn.prepare

    def told_with_environment(name: str) -> dict[str, Any]:
        return {**told(name), "environment": dict(os.environ)}

    def prepare_with_environment(data: Mapping[str, Any]) -> None:
        os.environ.clear()
        os.environ.update(data["environment"])
        prepare(data)

    spawn.get_preparation_data = told_with_environment
    spawn.prepare = prepare_with_environment
