"""`POST /v1/rerank/batch` over HTTP: each request its own status, the batch one call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from service.errors import ServiceError
from service.wire.several import batch
from service.wire.several.pruning import pruned_batch
from service.wire.shape import WireLimits
from tests.fakes import ScriptedEngine
from tests.service.api.streams.reading import EVENTS, LINES
from tests.service.api.streams.writing import WritingEngine
from tests.service.serving import WITH_KEY, guarded_service, serving, wait_until, waiting_client
from tests.service.wire.rankings import ranking_of
from tests.service.wire.server import open_service
from tests.service.wire.test_properties import VALUES, bodies

PATH = "/v1/rerank/batch"
FRUIT = {"query": "red apple", "documents": ["a blue sky", "a red apple"]}
SKY = {"query": "blue sky", "documents": ["a blue sky", "a red apple"], "top_n": 1}
LIMITS = WireLimits(("m", "*"), max_documents=20, max_body_bytes=10**6, body_seconds=1, max_batch_requests=4)
ANSWER: TypeAdapter[batch.BatchAnswer] = TypeAdapter(batch.BatchAnswer)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    engine = ScriptedEngine(fail_always={"poison"})
    with (
        open_service(engine, max_batch_requests=50, max_documents=200, model_aliases=("pear",)) as url,
        httpx.Client(base_url=url) as client,
    ):
        yield client


def post(client: httpx.Client, *requests: Any) -> list[dict[str, Any]]:
    answer = client.post(PATH, json={"requests": list(requests)})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = ANSWER.validate_json(answer.content, strict=True)["results"]  # type: ignore[assignment]
    assert len(results) == len(requests)
    return results


def test_every_request_has_its_answer_in_its_place(client: httpx.Client) -> None:
    fruit, sky = post(client, FRUIT, SKY)
    assert (fruit["status"], sky["status"]) == (200, 200)
    assert [result["index"] for result in fruit["body"]["results"]] == [1, 0]
    assert [result["index"] for result in sky["body"]["results"]] == [0]
    for request, found in ((FRUIT, fruit), (SKY, sky)):
        alone = client.post("/v1/rerank", json=request).json()
        assert found["body"] | {"id": ""} == alone | {"id": ""}


def test_one_that_does_not_fit_keeps_no_other_from_its_answer(client: httpx.Client) -> None:
    wrong: list[Any] = [
        {"query": "a"},
        5,
        None,
        [],
        {},
        {"query": " ", "documents": ["a"]},
        {"query": "a", "documents": ["a"], "mode": "fast"},
        {"query": "a", "documents": ["a"], "model": "plum"},
        {"query": "a", "texts": ["a"]},
        {"query": "a", "documents": ["a", "poison"]},
    ]
    results = post(client, FRUIT, *wrong, SKY)
    assert [result["status"] for result in results] == [200, 400, 400, 400, 400, 400, 400, 400, 404, 400, 500, 200]
    for result in results[1:-1]:
        body = result["body"]
        assert body["message"] == body["detail"] == body["error"]["message"]
        assert body["id"]
    assert results[6]["body"]["error"]["param"] == "query"
    assert results[10]["body"]["error"]["param"] == "documents[1]", "in its own request"
    assert results[10]["body"]["error"]["code"] == "engine_failed"


@pytest.mark.parametrize("other", [{"texts": ["b"]}, {"passages": [{"text": "b"}]}, {"texts": [], "passages": []}])
@pytest.mark.parametrize("documents", [{"documents": ["a"]}, {"documents": None}, {}])
def test_a_request_in_another_shape_or_in_two_is_refused_with_its_key(
    client: httpx.Client, documents: dict[str, Any], other: dict[str, Any]
) -> None:
    """As it is by itself, where it is in two: a part of it would be left out."""
    request = {"query": "a", **documents, **other}
    refused, good = post(client, request, FRUIT)
    assert (refused["status"], good["status"]) == (400, 200)
    key = next(iter(other))
    assert refused["body"]["error"]["param"] == key
    assert refused["body"]["message"] == f"{key} was sent; requests of a batch are bodies with documents."
    if documents.get("documents"):
        assert client.post("/rerank", json=request).status_code == 400


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "requests"),
        ({"requests": None}, 400, "requests"),
        ({"requests": []}, 400, "requests"),
        ({"requests": FRUIT}, 400, "requests"),
        ({"requests": "all"}, 400, "requests"),
        ({"requests": [{}] * 10_000}, 413, "requests"),
        ({"requests": [FRUIT] * 51}, 413, "requests"),
        ({"requests": [{"query": "a", "documents": ["a"] * 101}] * 2}, 413, "requests"),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(client: httpx.Client, body: Any, status: int, param: str) -> None:
    answer = client.post(PATH, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), answer.text[:300]
    assert post(client, FRUIT)[0]["status"] == 200


def test_empty_requests_within_the_limit_are_errors_of_their_own(client: httpx.Client) -> None:
    assert {result["status"] for result in post(client, *[{}] * 50)} == {400}


def test_ten_thousand_empty_requests_are_as_many_errors_where_so_many_may_be() -> None:
    with open_service(max_batch_requests=10_000) as url, httpx.Client(base_url=url) as client:
        results = post(client, *[{}] * 9_999, FRUIT)
        assert [result["status"] for result in results] == [400] * 9_999 + [200]
        assert client.post(PATH, json={"requests": [{}] * 10_001}).status_code == 413


@pytest.mark.parametrize("headers", [LINES, EVENTS, {}])
def test_it_is_never_streamed(client: httpx.Client, headers: dict[str, str]) -> None:
    body = {"stream": True, "requests": [FRUIT | {"stream": True}, SKY | {"stream": "perhaps"}]}
    answer = client.post(PATH, json=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert [result["status"] for result in answer.json()["results"]] == [200, 400]


@pytest.mark.parametrize(
    "more",
    [
        {"min_score": 0.6},
        {"threshold": 1},
        {"top_k": 1},
        {"return_documents": True, "top_n": 1},
        {"instruction": "Be strict.", "priority": 2},
        {"first_stage_scores": [3, 1], "first_stage_weight": 0.5},
        {"mode": "reasoning", "return_reasoning": True},
        {"return_label_mass": True, "max_chunks_per_doc": 1},
    ],
)
def test_every_field_means_what_it_means_alone(client: httpx.Client, more: dict[str, Any]) -> None:
    plain, found = post(client, FRUIT, FRUIT | more)
    alone = client.post("/v1/rerank", json=FRUIT | more).json()
    assert (found["status"], found["body"] | {"id": ""}) == (200, alone | {"id": ""})
    assert plain["body"] | {"id": ""} == client.post("/v1/rerank", json=FRUIT).json() | {"id": ""}


def test_the_query_string_sets_a_least_score_as_it_does_alone(client: httpx.Client) -> None:
    requests: list[Any] = [FRUIT, FRUIT | {"min_score": 0.6}, FRUIT | {"min_score": 0.9}, {}]
    results = client.post(f"{PATH}?threshold=0.6", json={"requests": requests}).json()["results"]
    assert [result["status"] for result in results] == [200, 200, 400, 400]
    for request, found in zip(requests[:3], results, strict=False):
        alone = client.post("/v1/rerank?threshold=0.6", json=request)
        assert (found["status"], found["body"] | {"id": ""}) == (alone.status_code, alone.json() | {"id": ""})
    assert results[0]["body"]["meta"]["below_min_score"] == 1
    bad = client.post(f"{PATH}?min_score=2", json={"requests": [FRUIT]}).json()["results"][0]
    assert (bad["status"], bad["body"]["error"]["param"]) == (400, "min_score")


def test_a_batch_of_very_many_values_makes_none_of_them(client: httpx.Client) -> None:
    many = {"query": "red apple", "documents": [{"text": "a red apple", "x": [{}] * 60_000}, "a blue sky"]}
    results = post(client, many, FRUIT, 5)
    assert [result["status"] for result in results] == [200, 200, 400]
    assert [result["index"] for result in results[0]["body"]["results"]] == [0, 1]
    refused = client.post(PATH, content=b'{"requests": [' + b"{}," * 50_000 + b"{}]}")
    assert (refused.status_code, refused.json()["error"]["param"]) == (413, "requests")


def test_other_methods_and_paths(client: httpx.Client) -> None:
    assert client.get(PATH).status_code == 405
    assert client.post(f"{PATH}/", json={"requests": [FRUIT]}).status_code == 200
    assert client.post("/rerank/batch", json={"requests": [FRUIT]}).status_code == 404


def test_it_is_one_request_in_metrics_and_all_documents_count(client: httpx.Client) -> None:
    with open_service() as url, httpx.Client(base_url=url) as fresh:
        post(fresh, FRUIT, SKY)
        page = fresh.get("/metrics").text
    assert 'limrank_requests_total{code="200",route="/v1/rerank/batch",shape="batch"} 1.0' in page
    assert "limrank_documents_scored_total 4.0" in page
    assert "limrank_documents_per_request_sum 4.0" in page


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PATH, {"requests": [FRUIT, {"query": "a", "documents": ["stop"]}, {"query": "b"}]}),
        ("/v1/decisions", {"input": "stop", "questions": [{"type": "predicate", "instructions": "a"}]}),
        ("/v1/systemone", {"state": "stop", "questions": {"a": {"type": "noul", "instructions": "a"}}}),
    ],
)
def test_a_client_that_leaves_halfway_frees_its_work(path: str, body: dict[str, Any]) -> None:
    engine = WritingEngine()
    with open_service(engine) as url, httpx.Client(base_url=url) as client:
        with waiting_client(url, path, body):
            wait_until(lambda: engine.running == 1, "the others to be scored")
        wait_until(lambda: engine.running == 0, "the document to leave the engine")
        counted = f'limrank_requests_total{{code="499",route="{path}"'
        wait_until(lambda: counted in client.get("/metrics").text, "the call to be counted", 0.02)
        assert "limrank_held_bytes 0.0" in client.get("/metrics").text
        assert post(client, FRUIT)[0]["status"] == 200


def test_a_keys_limit_refuses_the_whole(tmp_path: Path) -> None:
    service = guarded_service(tmp_path, documents_per_minute=3)
    with serving(service.app) as url, httpx.Client(base_url=url, headers=WITH_KEY) as client:
        refused = client.post(PATH, json={"requests": [FRUIT, SKY]})
        assert (refused.status_code, refused.json()["error"]["param"]) == (413, "requests")
        assert client.post(PATH, json={"requests": [FRUIT]}).status_code == 200
        late = client.post(PATH, json={"requests": [FRUIT]})
        assert late.status_code == 429
        assert int(late.headers["retry-after"]) >= 1
        assert client.post(PATH, json={"requests": [FRUIT]}, headers={"Authorization": "no"}).status_code == 401


def read(data: Any) -> batch.BatchRequest | ServiceError:
    try:
        return batch.read(data, PATH, LIMITS)
    except ServiceError as error:
        return error


@settings(max_examples=100, deadline=None)
@given(requests=st.lists(bodies("documents", fits=False) | VALUES, max_size=5))
def test_any_requests_are_answered_or_refused_one_by_one(requests: list[Any]) -> None:
    asked = read({"requests": requests})
    if isinstance(asked, ServiceError):
        assert asked.field == "requests"
        assert len(requests) not in range(1, 5) or asked.status == 413
        return
    outcomes = [ranking_of(call, 1.0) for call in asked.calls]
    results = ANSWER.validate_python(asked.answer(outcomes, "id"))["results"]
    assert len(results) == len(requests)
    assert sum(result["status"] == 200 for result in results) == len(outcomes)
    assert all(result["status"] == 200 or 400 <= result["status"] < 500 for result in results)


def facts(asked: batch.BatchRequest | ServiceError) -> Any:
    if isinstance(asked, ServiceError):
        return str(asked)
    return [str(one) if isinstance(one, ServiceError) else one.call for one in asked.requests]


@settings(max_examples=100, deadline=None)
@given(requests=st.lists(bodies("documents", fits=True) | st.integers(), max_size=6))
def test_what_a_heavy_batch_leaves_out_is_not_read(requests: list[Any]) -> None:
    content = json.dumps({"requests": requests, "else": [1, {}]}).encode()
    assert facts(read(pruned_batch(content, 4, 20))) == facts(read(orjson.loads(content)))
