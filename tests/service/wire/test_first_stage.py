"""The caller's own scores and ranks in every body: read, refused in sentences, and ignored nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.api.app import FirstStageModel, create_app
from service.settings import Settings
from tests.fakes import ScriptedEngine
from tests.service.serving import serving

BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "documents": ("/rerank", {"query": "q", "documents": ["1", "2", "3"]}),
    "texts": ("/rerank", {"query": "q", "texts": ["1", "2", "3"]}),
    "passages": ("/v1/ranking", {"query": {"text": "q"}, "passages": [{"text": "1"}, {"text": "2"}, {"text": "3"}]}),
}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"first_stage_scores": [1, 2]}, "first_stage_scores holds 2 numbers for 3 documents"),
    ({"first_stage_scores": []}, "first_stage_scores holds 0 numbers for 3 documents"),
    ({"first_stage_ranks": [1, 2, 3, 4]}, "first_stage_ranks holds 4 numbers for 3 documents"),
    ({"first_stage_scores": [1, 2, "3"]}, "first_stage_scores[2] must be a number"),
    ({"first_stage_scores": [1, True, 3]}, "first_stage_scores[1] must be a number"),
    ({"first_stage_scores": 5}, "first_stage_scores must be a list"),
    ({"first_stage_ranks": [1, 0, 2]}, "first_stage_ranks[1] must be at least 1"),
    ({"first_stage_ranks": [1, 1.5, 2]}, "first_stage_ranks[1] must be a whole number"),
    ({"first_stage_scores": [1, 2, 3], "first_stage_ranks": [1, 2, 3]}, "send only one of them"),
    ({"first_stage_scores": [1, 2, 3], "first_stage_weight": 1.1}, "first_stage_weight must be at most 1"),
    ({"first_stage_scores": [1, 2, 3], "first_stage_weight": -0.1}, "first_stage_weight must be at least 0"),
    ({"first_stage_weight": 0.5}, "first_stage_weight needs first_stage_scores or first_stage_ranks"),
]


def by_length_or_number(_: str, passage: str) -> float:
    """Also of what a server is warmed up with."""
    return float(passage) if passage.isdigit() else float(len(passage))


@pytest.fixture(scope="module")
def alone() -> Iterator[httpx.Client]:
    """A served model without a first stage."""
    app = create_app(Settings(), ScriptedEngine(log_odds=by_length_or_number)).app
    with serving(app) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture(scope="module")
def cascade() -> Iterator[httpx.Client]:
    """One behind a first stage that has the other order, and keeps one document."""
    settings = Settings.model_validate({"first_stage": "scripted", "first_stage_keep": 1, "score_cache_bytes": 1 << 20})
    first = ScriptedEngine(log_odds=lambda query, passage: -by_length_or_number(query, passage))
    app = create_app(settings, ScriptedEngine(log_odds=by_length_or_number), first=FirstStageModel(first)).app
    with serving(app) as url, httpx.Client(base_url=url) as client:
        yield client


def order(answer: Any) -> list[int]:
    results = answer if isinstance(answer, list) else answer.get("results") or answer["rankings"]
    return [result["index"] for result in results]


@pytest.mark.parametrize("shape", BODIES)
def test_every_shape_is_fused(alone: httpx.Client, shape: str) -> None:
    path, body = BODIES[shape]
    assert order(alone.post(path, json=body).json()) == [2, 1, 0]
    for first in ({"first_stage_scores": [9.5, -1, -2]}, {"first_stage_ranks": [1, 2, 3]}):
        whole = alone.post(path, json={**body, **first, "first_stage_weight": 1})
        assert (whole.status_code, order(whole.json())) == (200, [0, 1, 2])
        assert order(alone.post(path, json={**body, **first, "first_stage_weight": 0}).json()) == [2, 1, 0]
        nulls = {**body, **first, "first_stage_weight": None}
        assert alone.post(path, json=nulls).status_code == 200, "null counts as absent"


@pytest.mark.parametrize("shape", BODIES)
@pytest.mark.parametrize(("fields", "said"), BAD, ids=lambda case: case[:40] if isinstance(case, str) else "")
def test_what_does_not_fit_is_a_sentence(alone: httpx.Client, shape: str, fields: dict[str, Any], said: str) -> None:
    path, body = BODIES[shape]
    answer = alone.post(path, json={**body, **fields})
    assert answer.status_code == (422 if shape == "texts" else 400)
    assert said in answer.text.replace('\\"', '"')


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(alone: httpx.Client, number: str) -> None:
    body = f'{{"query": "q", "documents": ["1", "2"], "first_stage_scores": [1, {number}]}}'
    assert alone.post("/rerank", content=body).status_code == 400


def test_a_batch_and_a_body_of_very_many_values(alone: httpx.Client) -> None:
    _, body = BODIES["documents"]
    fused = {**body, "first_stage_ranks": [1, 2, 3], "first_stage_weight": 1}
    answer = alone.post("/v1/rerank/batch", json={"requests": [body, fused, {**body, "first_stage_ranks": [1]}]})
    statuses = [result["status"] for result in answer.json()["results"]]
    assert statuses == [200, 200, 400]
    assert [order(result["body"]) for result in answer.json()["results"][:2]] == [[2, 1, 0], [0, 1, 2]]
    heavy = {**fused, "documents": [{"text": str(n), "more": [[]] * 60_000} for n in (1, 2, 3)]}
    assert order(alone.post("/rerank", json=heavy).json()) == [0, 1, 2]
    wrong = alone.post("/rerank", json={**heavy, "first_stage_ranks": [1] * 4})
    assert "holds 4 numbers for 3 documents" in wrong.text


def test_a_cascade_tells_its_stages(cascade: httpx.Client) -> None:
    path, body = BODIES["documents"]
    answer = cascade.post(path, json=body).json()
    assert [(r["index"], r["stage"], r["status"]) for r in answer["results"]] == [
        (0, "second", "direct"),
        (1, "first", "direct"),
        (2, "first", "direct"),
    ]
    events = cascade.post(path, json={**body, "stream": True}).text.splitlines()
    events = [line for line in events if line.startswith("data:")]
    assert len(events) == 4
    assert sum('"stage":"first"' in line for line in events[:3]) == 2
    fused = {**body, "first_stage_scores": [1, 2, 3], "first_stage_weight": 1}
    assert order(cascade.post(path, json=fused).json()) == [2, 1, 0]
    info = cascade.get("/info").json()["first_stage"]
    assert (info["name"], info["keep"], info["engine"]["name"]) == ("scripted", 1, "scripted")
    assert all(result["cached"] for result in cascade.post(path, json=body).json()["results"])
    assert {entry["first_stage"] for entry in cascade.get("/v1/models").json()["data"]} == {"scripted"}
    metrics = cascade.get("/metrics").text
    assert 'limrank_documents_by_stage_total{stage="first"} 12.0' in metrics
    assert 'limrank_documents_by_stage_total{stage="second"} 4.0' in metrics


def test_a_model_is_served_alone_unless_a_first_stage_is_given(alone: httpx.Client) -> None:
    assert alone.get("/info").json()["first_stage"] is None
    assert "first_stage" not in alone.get("/v1/models").json()["data"][0]
    with pytest.raises(ValueError, match="--first-stage-keep 5 is of a first stage; name one"):
        Settings(first_stage_keep=5)
