"""The playground and the API's page in a real browser, on the real service over a scripted engine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.engine import Completion, Prompt
from tests.browser import CONTROL, Browser, Page, open_browser
from tests.fakes import ScriptedEngine
from tests.requirements_check import require
from tests.service.pages.scripted_stream import ScriptedStream, scripted_stream
from tests.service.serving import SECRET, guarded_service, serving
from tests.service.wire.server import open_service
from tests.waiting import PATIENCE

RANKED = "document.querySelector('#status').innerText.includes('ranked')"
EVIL = '<img src=x onerror="window.bitten=1"><script>window.bitten=1</script>'
DOCUMENTS = ["bread and yeast", "a glacier moves ice", f"glacier {EVIL}"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """Below a root path, as behind a proxy."""
    with open_service(ScriptedEngine(), root_path="/models/rerank") as url:
        yield f"{url}/models/rerank/"


@pytest.fixture(scope="module")
def stream() -> Iterator[ScriptedStream]:
    with scripted_stream() as running:
        yield running


def opened(browser: Browser, url: str) -> Page:
    page = browser.page()
    page.open(url)
    page.wait("document.querySelector('#modes input') !== null")
    return page


def fill(page: Page, documents: list[Any], query: str = "glacier ice") -> None:
    """Through the JSON editor, which the fields follow."""
    page.click("#tab-json")
    page.type("#json", json.dumps({"query": query, "documents": documents}))


def rank(page: Page) -> None:
    page.click("#rank")
    page.wait(RANKED)


def order(page: Page, column: int = 0) -> list[int]:
    cards = f"document.querySelectorAll('.column')[{column}].querySelectorAll('.card')"
    shown: list[int] = page.js(f"[...{cards}].map((card) => Number(card.dataset.index))")
    return shown


def test_a_person_types_pastes_and_ranks_by_keyboard(browser: Browser, service: str) -> None:
    page = opened(browser, service)
    page.wait("document.querySelector('#model').dataset.state === 'known'")
    assert "scripted" in page.text("#model")
    page.type("#query", "glacier ice")
    page.click("#paste")
    page.type("#pasted", "\n".join(DOCUMENTS))
    assert page.text("#paste-count") == "3 documents"
    page.click("#paste-add")
    assert page.text("#count") == "3"
    assert json.loads(page.js("document.querySelector('#json').value")) == {
        "query": "glacier ice",
        "documents": DOCUMENTS,
    }
    page.press("Enter", CONTROL)
    page.wait(RANKED)
    assert order(page) == [1, 2, 0]
    scores = [float(text) for text in page.texts(".score")]
    assert scores == sorted(scores, reverse=True)
    assert page.texts(".rank") == ["1", "2", "3"]
    assert "tokens read" in page.text(".figures")
    assert page.js("window.bitten") is None
    assert EVIL in page.text(".card[data-index='2'] .text")
    assert page.complaints() == []
    assert all(url.startswith(service) or url == "about:blank" for url in page.requested())


def test_rows_and_json_stay_in_step(browser: Browser, service: str) -> None:
    page = opened(browser, service)
    fill(page, ["one", {"text": "two", "url": "x"}], query="q")
    assert page.js("document.querySelector('#query').value") == "q"
    page.click("#tab-rows")
    assert page.js("[...document.querySelectorAll('#rows textarea')].map((e) => e.value)") == [
        "one",
        '{"text":"two","url":"x"}',
    ]
    page.type("#rows li:nth-child(1) textarea", "changed")
    page.click("#rows li:nth-child(2) .remove")
    assert json.loads(page.js("document.querySelector('#json').value"))["documents"] == ["changed"]
    page.click("#tab-json")
    page.type("#json", '{"query": "q", "documents": ["a"')
    assert "Not JSON yet" in page.text("#json-error")
    assert page.js("document.querySelector('#rows textarea').value") == "changed"
    page.type("#json", '{"query": "q", "documents": [7]}')
    assert "documents[0]" in page.text("#json-error")
    page.type("#json", '{"query": "q", "top_n": 1, "mode": "reasoning", "documents": ["q a", "b"]}')
    assert page.text("#json-error") == ""
    assert page.js("document.querySelector('input[name=mode]:checked').value") == "reasoning"
    rank(page)
    assert order(page) == [0], "a field that only the JSON has is sent as well"


def test_a_mode_that_is_being_typed_does_not_stay(browser: Browser, service: str) -> None:
    page = opened(browser, service)
    page.wait("document.querySelector('#model').dataset.state === 'known'")
    modes = "[...document.querySelectorAll('input[name=mode]')].map((e) => e.value)"
    known = page.js(modes)
    assert known == ["adaptive", "direct", "reasoning"]
    page.click("#tab-json")
    for mode in ("r", "rea", "reason"):
        page.type("#json", json.dumps({"query": "q", "documents": ["a"], "mode": mode}))
        assert page.js(modes) == [*known, mode], "what the request holds is shown"
    page.type("#json", json.dumps({"query": "q", "documents": ["a"], "mode": "adaptive"}))
    assert page.js(modes) == known
    rank(page)
    assert "not reasoned about" in page.text(".card")
    assert page.texts(".card .why") == []
    assert "is answered as 'direct'" in page.text(".notes")


class Reconsidering(ScriptedEngine):
    """Turns the order round where it reasons."""

    def _completion(self, index: int, prompt: Prompt, log_odds: float) -> Completion:
        return super()._completion(index, prompt, -log_odds if prompt.budget else log_odds)


def test_two_modes_stand_side_by_side_with_their_reasoning_and_moves(browser: Browser) -> None:
    def log_odds(query: str, passage: str) -> float:
        return float(len(passage))

    with open_service(Reconsidering(log_odds=log_odds)) as url:
        page = opened(browser, url)
        fill(page, ["a", "bbb", "cc"])
        page.js("document.querySelector('input[name=other][value=reasoning]').click()")
        rank(page)
        assert page.texts(".column h2") == ["Direct", "Reasoning"]
        assert (order(page), order(page, 1)) == ([1, 2, 0], [0, 2, 1])
        assert page.texts(".column:nth-child(2) .moved") == ["▲ 2", "=", "▼ 2"]
        change = page.text(".column:nth-child(2) .change")
        assert re.fullmatch(r"Against direct: 2 of 3 moved · \+15 tokens · [+±\u2212]\d+\.\d\d s", change), change
        assert page.text(".column:nth-child(1) .change") == ""
        assert page.texts(".column:nth-child(1) .why") == []
        page.click(".column:nth-child(2) .why summary")
        assert "It answers the question." in page.text(".column:nth-child(2) .why")
        assert "5 tokens" in page.text(".column:nth-child(2) .why summary")
        assert "15 written" in page.text(".column:nth-child(2) .figures")


def test_the_arrow_keys_go_through_modes_and_results(browser: Browser, service: str) -> None:
    page = opened(browser, service)
    page.wait("document.querySelector('#model').dataset.state === 'known'")
    page.js("document.querySelector('input[name=mode]:checked').focus()")
    for mode in ("reasoning", "adaptive", "direct"):
        page.press("ArrowRight")
        assert page.js("[document.activeElement.name, document.activeElement.value]") == ["mode", mode]
    page.click("#tab-json")
    page.type("#json", json.dumps({"query": "q", "top_n": 2, "documents": ["what comes first", "q a b", "q"]}))
    rank(page)
    assert order(page) == [1, 2]
    assert page.js("document.querySelectorAll('.card[tabindex=\"0\"]').length") == 1, "the tab key reaches the results"
    page.js("document.querySelector('.card[tabindex=\"0\"]').focus()")
    page.press("ArrowDown")
    assert page.js("document.activeElement.dataset.index") == "2"


def test_a_threshold_dims_what_is_below(browser: Browser, service: str) -> None:
    page = opened(browser, service)
    fill(page, DOCUMENTS)
    rank(page)
    move_threshold(page, 0.6)
    assert page.text("#status") == "1 of 3 at or above 0.60"
    assert page.js("[...document.querySelectorAll('.card.below')].map((c) => c.dataset.index)") == ["2", "0"]


def test_the_key_stays_in_the_page(browser: Browser, tmp_path: Path) -> None:
    with serving(guarded_service(tmp_path).app) as url:
        page = opened(browser, url)
        page.wait("document.querySelector('#model').dataset.state === 'unknown'")
        assert page.text("#refusal h2") == "A key is needed"
        assert page.js("document.activeElement.id") == "key"
        page.type("#key", "wrong-" + SECRET)
        page.press("Enter")
        page.wait("document.querySelector('#key-note').innerText.includes('not valid')")
        page.type("#key", SECRET)
        page.press("Enter")
        page.wait("document.querySelector('#model').dataset.state === 'known'")
        assert page.text("#refusal") == ""
        fill(page, DOCUMENTS)
        rank(page)
        page.click("#curl")
        assert SECRET not in page.text("#snippet-text")
        assert "$LIMRANK_KEY" in page.text("#snippet-text")
        assert page.js("[localStorage.length, sessionStorage.length, document.cookie, location.search]") == [
            0,
            0,
            "",
            "",
        ]
        page.open(url)
        page.wait("document.querySelector('#model')?.dataset.state === 'unknown'")
        assert page.js("document.querySelector('#key').value") == ""


def test_what_is_copied_runs_and_gets_the_same_answer(browser: Browser, tmp_path: Path) -> None:
    awkward = ['it\'s "quoted" \\ and $HOME `x`', "tab\tand\nline \u2028 end \U0001f9ca", DOCUMENTS[1]]
    environment = {**os.environ, "LIMRANK_KEY": SECRET}
    with serving(guarded_service(tmp_path).app) as url:
        page = opened(browser, url)
        page.type("#key", f"Bearer {SECRET}")
        page.press("Enter")
        page.wait("document.querySelector('#model').dataset.state === 'known'")
        fill(page, awkward)
        rank(page)
        page.click("#python")
        program = page.js("document.querySelector('#snippet-text').textContent")
        page.click("#snippet-close")
        page.click("#curl")
        command = page.js("document.querySelector('#snippet-text').textContent")
        printed = run([sys.executable, "-c", program], environment)
        scores = page.texts(".score")
        assert [line.split()[0] for line in printed.splitlines() if line[:2] in ("0.", "1.")] == scores
        require("curl", present=Path("/usr/bin/curl").exists(), remedy="install the package curl")
        answer = json.loads(run(["bash", "-c", command], environment))
        assert [f"{result['relevance_score']:.3f}" for result in answer["results"]] == scores
        page.click("#snippet-close")
        long = {"query": "glacier ice", "threshold": 0.1, "documents": [*awkward, "it's " * 30_000]}
        page.type("#json", json.dumps(long))
        move_threshold(page, 0.6)
        page.click("#curl")
        command = page.js("document.querySelector('#snippet-text').textContent")
        answer = json.loads(run(["bash"], environment, command))
        assert [result["index"] for result in answer["results"]] == [2], "longer than an argument may be"


def move_threshold(page: Page, value: float) -> None:
    page.js(
        "(() => {const t = document.querySelector('#threshold');"
        f"t.value = {value}; t.dispatchEvent(new Event('input'))}})()"
    )


def run(command: list[str], environment: dict[str, str], typed: str = "") -> str:
    """What a command prints."""
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=True, input=typed
    )
    return done.stdout


def test_a_refusal_shows_the_servers_sentence(browser: Browser) -> None:
    with open_service(ScriptedEngine(fail_always={"bread"}), max_documents=2) as url:
        page = opened(browser, url)
        fill(page, ["a", "b", "c"])
        page.click("#rank")
        page.wait("!document.querySelector('#refusal').hidden")
        assert page.text("#refusal h2") == "Too large"
        assert "more than the limit of 2" in page.text("#refusal")
        assert "field documents" in page.text("#refusal")
        fill(page, ["a", "bread"])
        page.click("#rank")
        page.wait("document.querySelector('#refusal h2')?.innerText === 'The server failed'")
        fill(page, ["a"])
        rank(page)
        assert page.text("#refusal") == ""


def test_results_come_in_while_they_are_made(browser: Browser, stream: ScriptedStream) -> None:
    page = opened(browser, stream.url)
    fill(page, ["zero", "one \U0001f9ca ice. Bread.", "two"])
    page.js("document.querySelector('input[name=mode][value=reasoning]').click()")
    page.click("#spans")
    page.click("#rank")
    page.wait("document.querySelector('.column') !== null")
    stream.send({"event": "document", "index": 0, "relevance_score": 0.4})
    page.wait("document.querySelectorAll('.card').length === 1")
    stream.send({"event": "reasoning", "index": 1, "offset": 0, "text": "It wri", "tokens": 2})
    stream.send({"event": "reasoning", "index": 1, "offset": 6, "text": "tes", "tokens": 3})
    page.wait("document.querySelector('.card.pending .why p')?.innerText === 'It writes'")
    stream.send({"event": "reasoning", "index": 1, "offset": 0, "text": "Again", "tokens": 1})
    page.wait("document.querySelector('.card.pending .why p')?.innerText === 'Again'")
    whole = {"text": "Again, done.", "status": "complete", "tokens": 4}
    spans = [{"start": 0, "end": 10, "score": 0.9}]
    first = {"index": 1, "relevance_score": 0.9, "reasoning": whole, "relevant_spans": spans}
    stream.send({"event": "document", **first}, {"event": "warning", "message": "1 of 3 documents was cut."})
    page.wait("document.querySelector('.card')?.dataset.index === '1'")
    assert page.js("document.querySelector('progress').value") == 2
    assert page.text(".card mark") == "one \U0001f9ca ice."
    assert "was cut" in page.text(".notes")
    rest = [{"index": 0, "relevance_score": 0.4}, {"index": 2, "relevance_score": 0.1}]
    usage = {"prompt_tokens": 60, "completion_tokens": 4, "total_tokens": 64, "cached_tokens": 20}
    stream.send(
        {"event": "document", **rest[1]}, {"results": [first, *rest], "usage": usage, "meta": {"score_kind": "fitted"}}
    )
    stream.end()
    page.wait(RANKED)
    assert order(page) == [1, 0, 2]
    assert "60 tokens read · 20 of them cached · 4 written" in page.text(".figures")
    assert "calibrated" in page.text("#kind")
    assert stream.bodies[-1] | {"documents": []} == {
        **{
            "query": "glacier ice",
            "mode": "reasoning",
            "return_reasoning": True,
            "relevant_spans": {"mode": "enabled"},
        },
        "documents": [],
    }
    assert page.complaints() == []


@pytest.mark.parametrize(("fields", "text"), [(["title"], "Ice."), (["url", "title"], "title: Ice.")])
def test_spans_are_marked_in_what_rank_fields_name(
    browser: Browser, stream: ScriptedStream, fields: list[str], text: str
) -> None:
    page = opened(browser, stream.url)
    document = {"title": "Ice. Snow.", "text": "Something else."}
    page.click("#tab-json")
    page.type("#json", json.dumps({"query": "q", "rank_fields": fields, "documents": [document]}))
    page.click("#rank")
    spans = [{"start": 0, "end": len(text), "score": 0.9}]
    stream.send({"event": "document", "index": 0, "relevance_score": 0.4, "relevant_spans": spans})
    page.wait("document.querySelector('.card mark') !== null")
    stream.end()
    assert page.text(".card mark") == text
    page.wait("!document.querySelector('#refusal').hidden")


@pytest.mark.parametrize("ending", ["error", "cut off"])
def test_a_stream_that_fails_half_way_keeps_what_came(browser: Browser, stream: ScriptedStream, ending: str) -> None:
    page = opened(browser, stream.url)
    fill(page, ["zero", "one"])
    page.click("#rank")
    stream.send({"event": "document", "index": 1, "relevance_score": 0.8})
    page.wait("document.querySelectorAll('.card').length === 1")
    if ending == "error":
        detail = {"message": "Not all in time.", "type": "timeout_error", "param": None, "code": "deadline_exceeded"}
        stream.send({"event": "error", "status": 504, "message": "Not all in time.", "error": detail, "id": "r-1"})
    stream.end()
    page.wait("!document.querySelector('#refusal').hidden")
    expected = "Not all in time." if ending == "error" else "before the answer was complete"
    assert expected in page.text("#refusal")
    assert order(page) == [1]
    assert "1 of 2 scored" in page.text(".figures")


def test_stop_ends_a_call(browser: Browser, stream: ScriptedStream) -> None:
    page = opened(browser, stream.url)
    fill(page, ["zero", "one"])
    page.click("#rank")
    stream.send({"event": "document", "index": 1, "relevance_score": 0.8})
    page.wait("document.querySelectorAll('.card').length === 1")
    page.press("Escape")
    page.wait("document.querySelector('.figures').innerText.startsWith('stopped')")
    stream.end()
    assert page.text("#refusal") == ""
    assert order(page) == [1]


def test_the_page_fits_a_phone_and_the_dark(browser: Browser, service: str) -> None:
    page = opened(browser, service)
    fill(page, [f"glacier {number} " + "ice and snow " * (number % 40) for number in range(200)])
    for width, dark in ((360, False), (360, True), (1280, True)):
        page.look(width=width, height=740, dark=dark, phone=width < 500)
        rank(page)
        assert page.js("document.documentElement.scrollWidth") <= width, "nothing sticks out sideways"
        background = page.js("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, background[4:-1].split(","))) < 200) is dark
    page.click("#theme")
    assert sum(map(int, page.js("getComputedStyle(document.body).backgroundColor")[4:-1].split(","))) > 600
    named = "(e) => e.labels?.length || e.innerText.trim() || e.getAttribute('aria-label') || e.placeholder"
    nameless = f"[...document.querySelectorAll('button, a, input, textarea')].filter((e) => !({named})(e)).length"
    assert page.js(nameless) == 0, "every control has a name"


def test_the_api_page_shows_the_description_and_asks_for_a_key(browser: Browser, service: str, tmp_path: Path) -> None:
    page = browser.page()
    page.open(service + "docs")
    page.wait("document.querySelectorAll('#swagger-ui .opblock').length > 3")
    assert page.complaints() == []
    assert all(url.startswith((service, "data:")) or url == "about:blank" for url in page.requested())
    with serving(guarded_service(tmp_path).app) as url:
        page.open(f"{url}/docs")
        page.wait("document.activeElement.id === 'key'")
        assert page.js("document.querySelectorAll('.opblock').length") == 0
        page.type("#key", SECRET)
        page.press("Enter")
        page.wait("document.querySelectorAll('#swagger-ui .opblock').length > 3")
