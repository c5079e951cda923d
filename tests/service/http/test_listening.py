"""A burst of connections is taken in few turns of the event loop."""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import ExitStack

import pytest
import uvloop

from service.api.server import bind
from service.http.listening import ACCEPTED_AT_ONCE, accepting

_BURST = 6 * ACCEPTED_AT_ONCE


class _Counted(asyncio.Protocol):
    made = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        _Counted.made += 1
        transport.close()


async def _turns(sockets: list[socket.socket]) -> int:
    """How often the loop turns until connections that wait already have all been taken."""
    loop = asyncio.get_running_loop()
    _Counted.made = 0
    servers = [await loop.create_server(_Counted, sock=each, backlog=2 * _BURST) for each in sockets]
    with ExitStack() as clients:
        for _ in range(_BURST):
            clients.enter_context(socket.create_connection(sockets[0].getsockname()))
        turns = 0
        while _Counted.made < _BURST:
            await asyncio.sleep(0)
            turns += 1
    for server in servers:
        server.close()
    return turns


def test_a_burst_of_connections_is_taken_in_few_turns_of_the_loop() -> None:
    one_by_one = uvloop.run(_turns([bind("127.0.0.1", 0)]))
    at_once = uvloop.run(_turns(accepting(bind("127.0.0.1", 0))))
    assert at_once < one_by_one / 4


@pytest.mark.parametrize(("files", "expected"), [(64, 1), (256, 4), (1024, 16), (resource.RLIM_INFINITY, 16)])
def test_few_descriptors_are_left_to_connections(files: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    sockets = accepting(bind("127.0.0.1", 0))
    assert len(sockets) == expected
    for each in sockets:
        each.close()
