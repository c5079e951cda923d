"""SIGTERM waits for bodies that are arriving, and what does not arrive in time is told to come again."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.ports import free_port
from tests.processes import server
from tests.service.http.raw import BODY, connected, everything, post, statuses

SCRIPTED = "tests.service.scripted_server"


def test_a_body_that_arrives_within_the_budget_is_answered(tmp_path: Path) -> None:
    flags = ("--drain-delay", "0", "--drain-budget", "3600")
    with server(SCRIPTED, free_port(), tmp_path, *flags) as running, connected(running.url) as connection:
        connection.sendall(post("Connection: close")[: -len(BODY) // 2])
        running.wait_for_more("limrank_held_bytes", 0)
        running.process.send_signal(signal.SIGTERM)
        running.wait_for_line("draining")
        for byte in BODY[-len(BODY) // 2 :]:
            connection.sendall(bytes([byte]))
        answer = everything(connection)
        # While draining no call is admitted any more: the body was waited for, and is told to go elsewhere.
        assert statuses(answer) == [503], answer
        assert b"retry-after" in answer.lower()
        assert b'"code"' in answer
        assert running.wait() == 0


def test_a_body_that_does_not_arrive_is_told_to_come_again(tmp_path: Path) -> None:
    flags = ("--drain-delay", "0", "--drain-budget", "1")
    with server(SCRIPTED, free_port(), tmp_path, *flags) as running, connected(running.url) as connection:
        connection.sendall(post()[:-10])
        running.wait_for_more("limrank_held_bytes", 0)
        running.process.send_signal(signal.SIGTERM)
        answer = everything(connection)
        assert statuses(answer) == [503], answer
        assert b"retry-after" in answer.lower()
        assert running.wait() == 0
        assert "Exception in ASGI application" not in running.log.read_text()
