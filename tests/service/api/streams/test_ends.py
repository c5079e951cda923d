"""How streams end with their server, and behind a proxy that buffers."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ports import free_port
from tests.processes import ServerProcess, server
from tests.service.api.streams.reading import LINES, arriving
from tests.service.api.streams.writing import WritingEngine
from tests.service.http.nginx import nginx
from tests.service.wire.server import open_service
from tests.waiting import PATIENCE


def begun(client: httpx.Client, running: ServerProcess, documents: list[str]) -> Any:
    body = {"query": "q", "documents": documents}
    return client.stream("POST", f"{running.url}/rerank", json=body, headers=LINES)


@pytest.mark.parametrize("drain", ["0", "3600"])
def test_a_stream_is_finished_within_the_budget_or_told_that_it_is_cut(tmp_path: Path, drain: str) -> None:
    go = tmp_path / "go"
    arguments = ("--drain-delay", "0", "--drain-budget", drain)
    with (
        server(
            "tests.service.scripted_server",
            free_port(),
            tmp_path,
            *arguments,
            LIMRANK_TEST_GO=str(go),
            LIMRANK_TEST_FREE="1",
        ) as running,
        httpx.Client(timeout=PATIENCE) as client,
        begun(client, running, ["a", "b"]) as answer,
    ):
        lines = arriving(answer)
        assert next(lines)["event"] == "document"
        running.process.send_signal(signal.SIGTERM)
        running.wait_for_line("draining")
        if drain != "0":
            go.touch()
        rest = list(lines)
        if drain == "0":
            (error,) = rest
            assert (error["status"], error["error"]["code"], error["retry_after"]) == (503, "call_cut", 1)
        else:
            assert [each.get("event") for each in rest] == ["document", None]
        assert running.wait() == 0


def test_a_dead_engine_ends_a_stream_with_an_error(tmp_path: Path) -> None:
    with (
        server("tests.service.scripted_server", free_port(), tmp_path) as running,
        httpx.Client(timeout=PATIENCE) as client,
        begun(client, running, ["a", "die"]) as answer,
    ):
        lines = list(arriving(answer))
        assert (lines[-1]["event"], lines[-1]["status"], lines[-1]["retry_after"]) == ("error", 503, 10)
        assert json.dumps(lines[-1]["message"])
        assert running.wait() == 1


def test_an_nginx_that_buffers_and_compresses_passes_events_on_as_they_come(tmp_path: Path) -> None:
    engine, port = WritingEngine(), free_port()
    with open_service(engine) as url:
        servers = f"""
          gzip on; gzip_proxied any; gzip_min_length 1; gzip_types application/x-ndjson text/event-stream;
          server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {url}; proxy_buffering on; }} }}
        """
        body = {"query": "q", "documents": ["a", "stop"]}
        with (
            nginx(tmp_path, port, servers),
            httpx.Client(timeout=PATIENCE) as client,
            client.stream("POST", f"http://127.0.0.1:{port}/rerank", json=body, headers=LINES) as answer,
        ):
            lines = arriving(answer)
            assert next(lines)["event"] == "document"
            assert engine.running == 1, "the call is still on its way"
            engine.let_go()
            assert [each.get("event") for each in lines] == ["document", None]
