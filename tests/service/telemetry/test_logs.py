from __future__ import annotations

import io
import json
import logging
import shutil
import socket
import time
import warnings
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine import Output, Prompt
from service.telemetry import logs
from service.telemetry.logs import JsonFormatter, configure_logging
from tests.fakes import ScriptedEngine, ScriptedJob
from tests.service.serving import SECRET, WITH_KEY, guarded_service, serving, wait_until
from tests.service.telemetry.log_leaks import leaks
from tests.waiting import PATIENCE

QUERY = "private query: why did Zebulon's glacier retreat äöü?"
PASSAGE = 'private passage: "Quetzalcoatl" walked\nover the moraine \U0001f600 and wept'
OTHER = "private passage two: a pangolin rolled down the esker"


@pytest.fixture
def stream() -> io.StringIO:
    """Takes all logs of the process at level DEBUG."""
    stream = io.StringIO()
    configure_logging("debug", stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def wait_for(stream: io.StringIO, event: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first line for which `event` holds; the access line is written after the answer was sent."""
    wait_until(lambda: any(map(event, lines(stream))), lambda: f"no such line in:\n{stream.getvalue()}")
    return next(filter(event, lines(stream)))


class TalkativeEngine(ScriptedEngine):
    """Fails with the passage in the message of its exception, as libraries do."""

    async def submit(self, prompts: Sequence[Prompt]) -> AsyncGenerator[Output]:
        job = ScriptedJob.of(prompts)
        async for output in super().submit(prompts):
            if "pangolin" in job.passages[output.index]:
                raise ValueError(f"cannot tokenize {job.passages!r} for {job.query!r}")
            yield output


def test_an_access_line_tells_all_but_what_was_said(tmp_path: Path, stream: io.StringIO) -> None:
    with serving(guarded_service(tmp_path).app) as url:
        body = {"query": QUERY, "documents": [PASSAGE, OTHER]}
        httpx.post(f"{url}/v1/rerank", json=body, headers=WITH_KEY | {"X-Request-Id": "call-1"}, params={"q": QUERY})
        line = wait_for(stream, lambda line: line["event"] == "request")
    assert line.pop("ms") > 0
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "limrank.access",
        "event": "request",
        "request_id": "call-1",
        "method": "POST",
        "route": "/v1/rerank",
        "status": 200,
        "documents": 2,
        "shape": "cohere",
        "key": "tests",
    }


def good_calls(client: httpx.Client) -> None:
    documents = [PASSAGE, OTHER]
    client.post("/rerank", json={"query": QUERY, "documents": documents, "return_documents": True})
    client.post("/v2/rerank", json={"query": QUERY, "documents": documents, "mode": "reasoning", "instruction": OTHER})
    client.post("/rerank", json={"query": QUERY, "texts": documents, "return_text": True})
    client.post("/v1/ranking", json={"query": {"text": QUERY}, "passages": [{"text": PASSAGE}]})


def bad_calls(client: httpx.Client) -> None:
    client.post("/rerank", json={"query": QUERY, "documents": PASSAGE})
    client.post("/rerank", json={"query": [QUERY], "documents": [PASSAGE]})
    client.post("/rerank", json={"query": QUERY, "documents": [{"txt": PASSAGE}, 7]})
    client.post("/rerank", json={"query": QUERY, "documents": [PASSAGE], "top_n": OTHER, "mode": OTHER})
    client.post("/rerank", json={"query": QUERY, "documents": [PASSAGE], "model": OTHER})
    client.post("/rerank", json={"query": QUERY, "documents": [PASSAGE], QUERY: 1})
    client.post("/rerank", json={"query": QUERY, "texts": [[PASSAGE]]})
    client.post("/rerank", json={"query": QUERY, "passages": PASSAGE})
    client.post("/rerank", json={"query": QUERY, "documents": [OTHER] * 60})
    client.post("/rerank", content=f'{{"query": "{QUERY}", "documents": ["{OTHER}"'.encode())
    client.post("/rerank", content=QUERY.encode(), headers={"Content-Type": OTHER})
    client.post("/rerank", content=b"\xff" + OTHER.encode())
    client.get("/rerank", params={"query": QUERY})
    client.get(f"/nowhere/{OTHER}", params={"query": QUERY})
    client.get(f"/v1/models/{OTHER}")
    client.post("/rerank", json={"query": QUERY}, headers={"Authorization": f"Bearer {OTHER}", "X-Request-Id": OTHER})
    client.post("/rerank", json={"query": QUERY, "documents": [OTHER]}, headers={"X-Request-Timeout-Ms": OTHER})
    client.post("/rerank", json={"query": QUERY, "documents": [OTHER]}, headers={"traceparent": OTHER})
    client.request(OTHER.split(":", maxsplit=1)[0].replace(" ", "-"), "/rerank", json={"query": QUERY})


def raw_calls(url: str) -> None:
    """What no client library sends: a client that leaves in the middle, and a request that is not HTTP."""
    body = json.dumps({"query": QUERY, "documents": [OTHER]}).encode()
    head = f"POST /rerank HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: {len(body)}\r\n\r\n"
    address = urlsplit(url)
    for sent in (head.encode() + body[:-5], head.encode() + body, f"{OTHER}\r\n\r\n".encode()):
        with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
            connection.sendall(sent)
            time.sleep(0.02)  # so that it is often read before it ends; the test holds where it is not


def test_no_text_of_a_user_is_logged_at_debug_whatever_happens(tmp_path: Path, stream: io.StringIO) -> None:
    composition = guarded_service(tmp_path, TalkativeEngine(), max_documents=50, model_aliases=())
    with serving(composition.app) as url:
        with httpx.Client(base_url=url, headers=WITH_KEY) as client:
            good_calls(client)
            bad_calls(client)
            raw_calls(url)
            client.get("/info", headers={"X-Request-Id": "last"})
        wait_for(stream, lambda line: line.get("request_id") == "last" and line["event"] == "request")
    statuses = {line["status"] for line in lines(stream) if line["event"] == "request"}
    assert {200, 400, 401, 404, 405, 413, 500} <= statuses
    assert any(line["event"] == "engine_failed" for line in lines(stream))
    assert leaks(stream.getvalue(), [QUERY, PASSAGE, OTHER]) == []
    assert SECRET not in stream.getvalue()


def test_the_search_for_texts_would_find_them(tmp_path: Path, stream: io.StringIO) -> None:
    """The same service when told to log texts: each is found, whichever characters it has."""
    with serving(guarded_service(tmp_path, log_texts=True).app) as url:
        body = {"query": QUERY, "documents": [PASSAGE, OTHER]}
        httpx.post(f"{url}/rerank", json=body, headers=WITH_KEY)
        wait_for(stream, lambda line: line["event"] == "request")
    for text in (QUERY, PASSAGE, OTHER):
        assert len(leaks(stream.getvalue(), [text])) == len(text) - 11
    assert leaks(stream.getvalue(), ["a text that nobody sent"]) == []


def logged(action: Callable[[logging.Logger], None], *, texts: bool = False, name: str = "limrank.x") -> dict[str, Any]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(texts=texts))
    logger = logging.Logger(name)
    logger.addHandler(handler)
    action(logger)
    (line,) = stream.getvalue().splitlines()
    result: dict[str, Any] = json.loads(line)
    return result


def fail(logger: logging.Logger) -> None:
    try:
        try:
            int(QUERY)
        except ValueError as error:
            raise RuntimeError(f"no score for {PASSAGE}") from error
    except RuntimeError:
        logger.exception("failed")


def test_an_exception_within_a_request_keeps_its_message_to_itself() -> None:
    token = logs.request_id.set("r1")
    try:
        line = logged(fail)
        with_texts = logged(fail, texts=True)
    finally:
        logs.request_id.reset(token)
    assert line["request_id"] == "r1"
    assert line["exception"] == "RuntimeError <- ValueError"
    assert any(" fail: " in frame for frame in line["stack"])
    assert leaks(json.dumps(line), [QUERY, PASSAGE]) == []
    assert with_texts["exception"].startswith("RuntimeError: no score for private passage")


def test_outside_of_requests_an_exception_says_what_is_wrong_but_for_asyncio_s() -> None:
    assert "no score for" in logged(fail)["exception"]
    assert logged(fail, name="asyncio")["exception"] == "RuntimeError <- ValueError"


def test_warnings_are_lines_too(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("something is deprecated", DeprecationWarning, stacklevel=1)
    (line,) = lines(stream)
    assert line["logger"] == "py.warnings"
    assert line["level"] == "warning"
    assert "something is deprecated" in line["event"]


def test_libraries_speak_from_warnings_on(stream: io.StringIO) -> None:
    logging.getLogger("a_library").info("chatter")
    logging.getLogger("a_library").warning("trouble")
    logging.getLogger("limrank.window").debug("detail")
    logging.getLogger("uvicorn.error").info("started")
    assert [line["event"] for line in lines(stream)] == ["trouble", "detail", "started"]


def test_probes_are_quiet_above_debug(tmp_path: Path, stream: io.StringIO) -> None:
    logging.getLogger("limrank").setLevel("INFO")
    with serving(guarded_service(tmp_path).app) as url:
        httpx.get(f"{url}/health/live")
        httpx.get(f"{url}/metrics")
        httpx.get(f"{url}/info", headers=WITH_KEY)
        wait_for(stream, lambda line: line.get("route") == "/info")
    assert [line["route"] for line in lines(stream) if line["event"] == "request"] == ["/info"]


@given(
    st.text(),
    st.dictionaries(st.text(min_size=1).map("x_{}".format), st.text() | st.binary() | st.floats(), max_size=3),
)
def test_any_record_is_one_line_of_ascii_json(message: str, extra: dict[str, Any]) -> None:
    record = logging.makeLogRecord(
        {"name": "limrank", "levelno": 20, "levelname": "INFO", "msg": "%s", "args": (message,)}
    )
    record.__dict__.update(extra)
    text = JsonFormatter().format(record)
    assert text.isascii()
    assert "\n" not in text
    assert json.loads(text)["event"] == message


def test_an_error_whose_file_has_gone_is_no_second_error(tmp_path: Path) -> None:
    """Else a process that logs what it dies of would die of the log, before it can tell anybody."""
    folder = tmp_path / "gone"
    folder.mkdir()
    handler, logger = logs.ErrorFile(str(folder / "errors.jsonl")), logging.Logger("own")
    logger.addHandler(handler)
    logger.error("kept")
    assert (folder / "errors.jsonl").read_text() == "kept\n"
    handler.close()
    shutil.rmtree(folder)
    handler = logs.ErrorFile(str(folder / "errors.jsonl"))
    logger.handlers = [handler]
    logger.error("lost")
    assert not folder.exists()
