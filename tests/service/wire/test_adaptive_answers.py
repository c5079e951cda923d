"""What adaptive mode says in every body: its statuses, `meta.adaptive` and warnings, alone, streamed and in batches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from contract.adaptive.parameters import Gate
from contract.checkpoint.manifest import Manifest
from service.api.app import FirstStageModel, create_app
from service.engine import Completion, Prompt, Scoring
from service.models.checkpoint import Checkpoint
from service.settings import Settings
from tests.contract.adaptive.scripted import parameters
from tests.fakes import ScriptedEngine, text_of
from tests.service.serving import serving
from tests.service.strategies.reasoning_engine import ReasoningEngine, passage

MIXED = [passage(3.0, 6.0, 20), passage(0.4, -5.0, 33), passage(0.2, 5.0, 12), passage(0.1, 0.0, 9), passage(-8, -8, 5)]
BODY: dict[str, Any] = {"query": "q", "documents": MIXED, "reasoning_budget": 60, "top_n": 5}
USE = {"probes", "rounds", "reasoned", "undecided"}


def by_direct(_: str, text: str) -> float:
    """Also of what a server is warmed up with."""
    return float(text.split("|", maxsplit=1)[0]) if "|" in text else float(len(text))


class Engine(ReasoningEngine):
    def _completion(self, index: int, prompt: Prompt, log_odds: float) -> Completion:
        if "|" not in text_of(prompt.rest):
            return ScriptedEngine._completion(self, index, prompt, log_odds)
        return super()._completion(index, prompt, log_odds)


@contextmanager
def served(gate: Gate, first: ScriptedEngine | None = None, **settings: Any) -> Iterator[httpx.Client]:
    manifest = Manifest("cross-encoder", None, None, "0" * 64, "base")
    fitted = Manifest("cross-encoder", None, None, "0" * 64, "base", adaptive=gate.to_json(manifest.fingerprint))
    checkpoint = Checkpoint(Path("nowhere"), "scripted", fitted)
    wanted = Settings.model_validate({"mode": "adaptive", **settings})
    stage = None if first is None else FirstStageModel(first)
    app = create_app(wanted, Engine(log_odds=by_direct), checkpoint, first=stage).app
    with serving(app) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture(scope="module")
def on() -> Iterator[httpx.Client]:
    with served(Gate(parameters(early_stop=True), "measured")) as client:
        yield client


@pytest.fixture(scope="module")
def off() -> Iterator[httpx.Client]:
    with served(Gate(None, "reasoning gains nothing")) as client:
        yield client


def asked(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post("/rerank", json={**BODY, **fields})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    lines = (line.removeprefix("data: ") for line in answer.text.splitlines())
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_every_result_says_how_its_score_was_reached(on: httpx.Client) -> None:
    found = asked(on)
    use = found["meta"]["adaptive"]
    assert set(use) == USE
    assert all(isinstance(number, int) for number in use.values())
    statuses = {result["index"]: result["status"] for result in found["results"]}
    assert sum(status != "direct" for status in statuses.values()) == use["reasoned"] > 0
    assert set(statuses.values()) <= {"direct", "complete", "stopped_early", "budget"}
    assert statuses[4] == "direct", "far below the top"
    assert 0 < found["usage"]["completion_tokens"] <= 60
    assert found["meta"]["tokens"]["output_tokens"] == found["usage"]["completion_tokens"]
    traced = asked(on, return_reasoning=True)
    assert {r["index"]: r["reasoning"]["status"] for r in traced["results"]} == statuses
    written = sum(result["reasoning"]["tokens"] for result in traced["results"])
    assert written + use["probes"] == found["usage"]["completion_tokens"]


@pytest.mark.parametrize("fields", [{"mode": "direct"}, {"mode": "reasoning"}])
def test_other_modes_say_nothing_of_it_and_take_no_budget(on: httpx.Client, fields: dict[str, Any]) -> None:
    found = asked(on, **fields)
    assert "adaptive" not in found["meta"]
    assert not any("status" in result for result in found["results"])
    assert asked(on, **fields, reasoning_budget=0)["results"] == found["results"]


@pytest.mark.parametrize("media", ["application/x-ndjson", "text/event-stream"])
@pytest.mark.parametrize("budget", [0, 60, 10**30])
def test_a_stream_tells_what_the_answer_has(on: httpx.Client, media: str, budget: int) -> None:
    body = {**BODY, "reasoning_budget": budget}
    *told, last = events(on.post("/rerank", json=body, headers={"Accept": media}))
    assert [{k: v for k, v in event.items() if k != "event"} for event in told] == last["results"]
    assert all(event["status"] for event in told)
    whole = asked(on, reasoning_budget=budget)
    assert (last["results"], last["meta"]["adaptive"]) == (whole["results"], whole["meta"]["adaptive"])
    assert (budget > 0) == (last["meta"]["adaptive"]["reasoned"] > 0)


def test_bodies_without_a_place_for_it_have_the_same_order(on: httpx.Client) -> None:
    with_default = asked(on, reasoning_budget=None)
    order = [result["index"] for result in with_default["results"]]
    texts = on.post("/rerank", json={"query": "q", "texts": MIXED, "top_n": 5})
    assert [(each["index"], set(each)) for each in texts.json()] == [(index, {"index", "score"}) for index in order]
    passages = {"query": {"text": "q"}, "passages": [{"text": text} for text in MIXED], "top_n": 5}
    ranked = on.post("/v1/ranking", json=passages).json()
    assert [(each["index"], set(each)) for each in ranked["rankings"]] == [(n, {"index", "logit"}) for n in order]
    spent = ranked["usage"]["total_tokens"] - ranked["usage"]["prompt_tokens"]
    assert spent == with_default["usage"]["completion_tokens"] > 0
    voyage = asked(on, top_n=None, top_k=5)
    assert [set(each) for each in voyage["data"]] == [{"index", "relevance_score"}] * 5
    assert all("status" in result for result in voyage["results"])


def test_in_a_batch_all_is_direct_and_says_why(on: httpx.Client) -> None:
    requests = [BODY, {**BODY, "mode": "direct"}, {**BODY, "reasoning_budget": -1}, {**BODY, "mode": "reasoning"}]
    results = on.post("/v1/rerank/batch", json={"requests": requests}).json()["results"]
    assert [result["status"] for result in results] == [200, 200, 400, 200]
    adaptive, direct, refused, reasoned = (result["body"] for result in results)
    assert [result["status"] for result in adaptive["results"]] == ["direct"] * 5
    assert adaptive["meta"]["warnings"] == [
        "Mode 'adaptive' is answered as 'direct': in a batch no document is reasoned about."
    ]
    assert {**adaptive["meta"]["adaptive"], "undecided": 0} == dict.fromkeys(USE, 0)
    assert adaptive["usage"]["completion_tokens"] == 0
    for member in (direct, reasoned):
        assert "adaptive" not in member["meta"]
    plain = [{k: v for k, v in result.items() if k != "status"} for result in adaptive["results"]]
    assert plain == direct["results"]
    assert "reasoning_budget must be at least 0" in refused["message"]


def test_a_model_that_is_gated_off_says_so_wherever_there_is_a_place(off: httpx.Client) -> None:
    said = "Mode 'adaptive' is answered as 'direct': reasoning gains nothing."
    found = asked(off)
    assert found["meta"]["warnings"] == [said]
    assert found["meta"]["adaptive"] == dict.fromkeys(USE, 0)
    assert [result["status"] for result in found["results"]] == ["direct"] * 5
    texts = off.post("/rerank", json={"query": "q", "texts": MIXED})
    assert said in texts.headers["X-Warnings"]
    passages = {"query": {"text": "q"}, "passages": [{"text": text} for text in MIXED]}
    assert off.post("/v1/ranking", json=passages).json()["meta"] == {"warnings": [said]}
    told = events(off.post("/rerank", json={**BODY, "stream": True}))
    assert [event["message"] for event in told if event.get("event") == "warning"] == [said]
    assert [event["status"] for event in told if event.get("event") == "document"] == ["direct"] * 5
    assert off.get("/info").json()["adaptive"] == {"on": False, "reason": "reasoning gains nothing"}


def test_behind_a_first_stage_the_rest_is_direct_in_every_answer() -> None:
    gate, first = Gate(parameters(early_stop=True), "measured"), ScriptedEngine(log_odds=by_direct)
    with served(gate, first, first_stage="scripted", first_stage_keep=3) as client:
        found = asked(client)
        assert [result["stage"] for result in found["results"]] == ["second"] * 3 + ["first"] * 2
        assert [result["status"] for result in found["results"]][3:] == ["direct"] * 2
        assert 0 < found["meta"]["adaptive"]["reasoned"] <= 3
        *told, last = events(client.post("/rerank", json={**BODY, "stream": True}))
        assert [{k: v for k, v in event.items() if k != "event"} for event in told] == last["results"]
        assert last["results"] == found["results"]
        [member] = client.post("/v1/rerank/batch", json={"requests": [BODY]}).json()["results"]
        assert [r["status"] for r in member["body"]["results"]] == ["direct"] * 5
        assert member["body"]["meta"]["adaptive"]["reasoned"] == 0


def test_a_model_that_does_not_reason_refuses_it_in_every_answer() -> None:
    app = create_app(Settings(), ScriptedEngine(scoring=frozenset({Scoring.DIRECT}))).app
    said = "mode 'adaptive' is not available with this model; it has direct."
    body = {**BODY, "mode": "adaptive"}
    with serving(app) as url, httpx.Client(base_url=url) as client:
        for answer in (client.post("/rerank", json=body), client.post("/rerank", json={**body, "stream": True})):
            assert (answer.status_code, answer.json()["message"]) == (400, said)
            assert answer.json()["error"]["param"] == "mode"
        batch = client.post("/v1/rerank/batch", json={"requests": [body, {**BODY, "mode": "direct"}]}).json()
        assert [member["status"] for member in batch["results"]] == [400, 200]
        assert batch["results"][0]["body"]["message"] == said
        assert client.get("/info").json()["modes"] == ["direct"]
