"""Connections are bounded, and where they run out probes are still answered."""

from __future__ import annotations

import resource
import socket
import time
from contextlib import ExitStack
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.connections import Connections, Seat
from service.http.limits import HttpLimits, default_connections
from tests.service.http.guarded import Guarded, guarded
from tests.service.http.raw import connected, everything, post, statuses
from tests.waiting import PATIENCE

LIMITS = HttpLimits(reserve_head_seconds=PATIENCE)
PROBE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


def _fill(served: Guarded, stack: ExitStack, count: int) -> None:
    for _ in range(count):
        stack.enter_context(connected(served.url))
    while served.connections.open < count:
        time.sleep(0.01)


def test_in_the_reserve_probes_are_answered_and_all_else_is_refused() -> None:
    with guarded(LIMITS, connections=8) as served, ExitStack() as stack:
        _fill(served, stack, 8)
        with connected(served.url) as connection:
            connection.sendall(PROBE)
            answer = everything(connection)
            assert statuses(answer) == [200]
            assert b"connection: close" in answer.lower()
        with connected(served.url) as connection:
            connection.sendall(post())
            assert statuses(everything(connection)) == [503]


def test_in_the_reserve_pages_of_other_origins_may_read_the_refusal() -> None:
    origin = "https://app.example"
    ask = f"OPTIONS /rerank HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\r\n"
    with guarded(LIMITS, connections=8, origins=(origin,)) as served, ExitStack() as stack:
        _fill(served, stack, 8)
        for request, status in ((ask.encode(), 204), (post(f"Origin: {origin}"), 503)):
            with connected(served.url) as connection:
                connection.sendall(request)
                whole = everything(connection)
            assert statuses(whole) == [status]
            answer = whole.lower()
            assert f"access-control-allow-origin: {origin}".encode() in answer
            assert answer.count(b"connection: close") == 1
        assert b"retry-after" in answer.split(b"access-control-expose-headers: ")[1].split(b"\r\n")[0]
        with connected(served.url) as connection:
            connection.sendall(post("Origin: https://other.example"))
            assert b"access-control-allow" not in everything(connection).lower()


def test_in_the_reserve_a_head_must_come_at_once() -> None:
    with guarded(HttpLimits(reserve_head_seconds=0.2), connections=8) as served, ExitStack() as stack:
        _fill(served, stack, 8)
        with connected(served.url) as connection:
            assert everything(connection) == b""


def test_beyond_the_reserve_connections_are_refused_and_not_reset() -> None:
    with guarded(HttpLimits(reserve_head_seconds=PATIENCE), connections=8) as served, ExitStack() as stack:
        _fill(served, stack, 10)
        with connected(served.url) as connection:
            connection.sendall(post())
            assert statuses(everything(connection)) == [503]


def test_a_probe_is_answered_however_many_connections_are_silent() -> None:
    with guarded(HttpLimits(reserve_head_seconds=60), connections=8) as served, ExitStack() as stack:
        _fill(served, stack, 8)
        silent = [stack.enter_context(connected(served.url)) for _ in range(8)]
        for _ in range(3):
            with connected(served.url) as connection:
                connection.sendall(PROBE)
                assert statuses(everything(connection)) == [200]
        silent[0].shutdown(socket.SHUT_WR)
        assert statuses(everything(silent[0])) == [503], "told to come back, and not cut"
        assert served.connections.open <= 12


def test_what_has_asked_for_something_keeps_its_seat_in_the_reserve() -> None:
    connections = Connections(8)
    gone: list[str] = []

    def leave(name: str) -> None:
        gone.append(f"{name} {connections.step_down().name}")

    for _ in range(8):
        assert connections.take() is Seat.OPEN
    for name in ("first", "second"):
        assert connections.take() is Seat.RESERVE
        connections.until_heard(name, partial(leave, name))
    connections.heard("first")
    assert connections.take() is Seat.RESERVE
    assert gone == ["second REFUSED"]
    assert connections.take() is Seat.REFUSED, "nobody is silent: as before"


def test_a_seat_comes_free_with_its_connection() -> None:
    with guarded(LIMITS, connections=8) as served:
        with ExitStack() as stack:
            _fill(served, stack, 8)
        while served.connections.open:
            time.sleep(0.01)
        with connected(served.url) as connection:
            connection.sendall(post("Connection: close"))
            assert statuses(everything(connection)) == [200]


@given(st.integers(1, 200), st.lists(st.booleans(), max_size=400))
def test_seats_are_never_more_than_there_are(limit: int, arrivals: list[bool]) -> None:
    connections, taken = Connections(limit), []
    for arrives in arrivals:
        if arrives:
            taken.append(connections.take())
        elif taken:
            connections.give_back(taken.pop())
        assert taken.count(Seat.OPEN) <= limit
        assert connections.open == len(taken) - taken.count(Seat.NONE) <= limit + 2 * connections.reserve


@pytest.mark.parametrize("files", [64, 100, 256, 1024, 1_000_000])
def test_the_default_leaves_descriptors(files: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    most = default_connections()
    assert most + 2 * Connections(most).reserve < files
    assert most >= files // 2 or most == 10_000
