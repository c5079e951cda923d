"""SIGTERM waits for bodies that are arriving, and what does not arrive in time is told to come again."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port
from tests.processes import ServerProcess, server
from tests.service.http.raw import BODY, connected, everything, post, statuses
from tests.waiting import PATIENCE

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


def test_a_new_call_is_refused_before_its_body_while_the_others_finish(tmp_path: Path) -> None:
    """So nobody holds up the stop by beginning one body after another."""
    flags = ("--drain-delay", "0", "--drain-budget", "3600")
    with server(SCRIPTED, free_port(), tmp_path, *flags) as running, connected(running.url) as waiting:
        waiting.sendall(post()[:-10])
        running.wait_for_more("limrank_held_bytes", 0)
        running.process.send_signal(signal.SIGTERM)
        running.wait_for_line("draining")
        for head in (post(body=b"x" * 100)[:-100], post("Expect: 100-continue")[: -len(BODY)]):
            with connected(running.url) as connection:
                connection.sendall(head)
                answer = everything(connection)
                assert statuses(answer) == [503], answer
                assert b"retry-after" in answer.lower()
        waiting.sendall(BODY[-10:])
        assert statuses(everything(waiting)) == [503]
        assert running.wait() == 0


LARGE = {"text": "gout", "more": "y" * 8_000_000}
LARGE_BODY = json.dumps({"query": "gout", "documents": [LARGE], "return_documents": True}).encode()


@contextmanager
def unread_answer(running: ServerProcess) -> Iterator[socket.socket]:
    """A connection whose answer has begun and is larger than what the kernel takes for a client that does not read."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE)
        connection.connect(("127.0.0.1", int(running.url.rpartition(":")[2])))
        connection.sendall(post("Connection: close", body=LARGE_BODY))
        assert connection.recv(9, socket.MSG_PEEK) == b"HTTP/1.1 "
        yield connection


def test_an_answer_that_is_being_sent_is_sent_to_its_end(tmp_path: Path) -> None:
    flags = ("--drain-delay", "0", "--drain-budget", "3600")
    with server(SCRIPTED, free_port(), tmp_path, *flags) as running, unread_answer(running) as connection:
        running.process.send_signal(signal.SIGTERM)
        running.wait_for_line("draining")
        assert running.metric("limrank_held_bytes") == len(LARGE_BODY), "it waits for the answer to be read"
        answer = everything(connection)
        assert len(answer) > 8_000_000
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["results"][0]["document"] == LARGE
        assert running.wait() == 0


def test_an_answer_that_nobody_reads_holds_up_the_stop_no_longer_than_the_budget(tmp_path: Path) -> None:
    flags = ("--drain-delay", "0", "--drain-budget", "1")
    with server(SCRIPTED, free_port(), tmp_path, *flags) as running, unread_answer(running):
        assert running.stop() == 0
