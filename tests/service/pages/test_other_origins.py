"""A page of another origin in a real browser: its fetch is preflighted, packed, streamed and refused as documented."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from tests.browser import Page, open_browser
from tests.service.api.streams.writing import WritingEngine
from tests.service.serving import SECRET, guarded_service, serving
from tests.waiting import wait_until

BODY = {"query": "glacier ice", "documents": ["a glacier moves ice", "bread and yeast \U0001f9ca"]}
FETCH = """
window.ask = async (url, key, body, packing, more = {}) => {
  const headers = {"Content-Type": "application/json", ...more};
  if (key) headers.Authorization = `Bearer ${key}`;
  let sent = body;
  if (packing) {
    headers["Content-Encoding"] = packing;
    const packed = new Blob([body]).stream().pipeThrough(new CompressionStream(packing));
    sent = await new Response(packed).arrayBuffer();
  }
  try {
    const answer = await fetch(url, {method: "POST", headers, body: sent});
    const seen = Object.fromEntries(["retry-after", "x-request-id", "x-warnings", "content-type", "x-total-time"]
      .map((name) => [name, answer.headers.get(name)]));
    return {status: answer.status, body: await answer.json(), seen};
  } catch (error) {
    return {status: 0, body: String(error)};
  }
};
window.listen = async (url, key, body) => {
  window.lines = [];
  window.stop = new AbortController();
  const headers = {Authorization: `Bearer ${key}`, "Content-Type": "application/json", Accept: "application/x-ndjson"};
  const answer = await fetch(url, {method: "POST", headers, body, signal: window.stop.signal});
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\\n");
    rest = parts.pop();
    window.lines.push(...parts.map(JSON.parse));
  }
};
"""


async def blank(_: Any) -> HTMLResponse:
    return HTMLResponse("<!doctype html><title>A page of its own</title>")


@pytest.fixture(scope="module")
def engine() -> WritingEngine:
    return WritingEngine()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, engine: WritingEngine) -> Iterator[tuple[Page, str]]:
    """A page, and the URL of a service that lets its origin read."""
    folder = tmp_path_factory.mktemp("origins")
    with serving(Starlette(routes=[Route("/", blank)])) as origin, open_browser(folder) as browser:
        service = guarded_service(folder, engine, cors_origins=(origin,), max_documents=20, documents_per_minute=60)
        with serving(service.app) as url:
            opened = browser.page()
            opened.open(origin)
            opened.js(FETCH)
            yield opened, url


def ask(page: Page, url: str, body: Any, *more: Any, key: str = SECRET) -> dict[str, Any]:
    given = json.dumps([url, key, body if isinstance(body, str) else json.dumps(body), *more])
    answer: dict[str, Any] = page.js(f"ask(...{given})")
    return answer


@pytest.mark.parametrize("packing", [None, "gzip", "deflate"])
def test_an_answer_is_read_however_the_body_is_packed(page: tuple[Page, str], packing: str | None) -> None:
    opened, url = page
    answer = ask(opened, f"{url}/v1/rerank", BODY, packing)
    assert answer["status"] == 200, answer
    assert [result["index"] for result in answer["body"]["results"]] == [0, 1]
    assert answer["seen"]["x-request-id"]
    assert answer["seen"]["x-total-time"] is None, "a header that is not exposed"


def test_refusals_can_be_read_with_their_reasons(page: tuple[Page, str]) -> None:
    opened, url = page
    rerank = f"{url}/rerank"
    assert ask(opened, rerank, BODY, key="")["status"] == 401
    assert ask(opened, rerank, BODY, key="wrong")["body"]["error"]["code"] == "unauthorized"
    bad = ask(opened, rerank, "{")
    assert (bad["status"], bad["body"]["error"]["type"]) == (400, "invalid_request_error")
    assert ask(opened, f"{url}/nowhere", BODY)["status"] == 404
    assert ask(opened, rerank, BODY | {"documents": ["a"] * 21})["status"] == 413
    assert ask(opened, rerank, BODY, None, {"Content-Encoding": "br"})["status"] == 415
    assert ask(opened, rerank, BODY, None, {"Content-Encoding": "gzip"})["status"] == 400
    many = BODY | {"documents": ["a"] * 20}
    last = ask(opened, rerank, many)
    while last["status"] == 200:
        last = ask(opened, rerank, many)
    assert last["status"] == 429
    assert int(last["seen"]["retry-after"]) > 0


def test_a_page_that_is_not_named_is_told_nothing(page: tuple[Page, str], tmp_path: Path) -> None:
    opened, _ = page
    with serving(guarded_service(tmp_path).app) as url:
        assert ask(opened, f"{url}/rerank", BODY) == {"status": 0, "body": "TypeError: Failed to fetch"}


def test_a_stream_is_read_as_it_comes_and_ends_with_the_page_that_leaves(
    page: tuple[Page, str], engine: WritingEngine, tmp_path: Path
) -> None:
    opened, _ = page
    origin = opened.js("location.origin")
    with serving(guarded_service(tmp_path, engine, cors_origins=(origin,)).app) as url:
        body = json.dumps({"query": "q", "documents": ["a", "stop"]})
        started = f"listen(...{json.dumps([url + '/rerank', SECRET, body])})"
        opened.js(f"void ({started}.catch(() => {{}}))")
        opened.wait("window.lines?.length === 1")
        opened.js("stop.abort()")
        wait_until(lambda: engine.running == 0, "the work of a page that left goes on")
        opened.js(f"void ({started})")
        opened.wait("window.lines.length === 1")
        assert engine.running == 1, "the call is still on its way"
        engine.let_go()
        opened.wait("window.lines.length === 3")
        assert opened.js("lines.map((line) => line.event ?? 'done')") == ["document", "document", "done"]
