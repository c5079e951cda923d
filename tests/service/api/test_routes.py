"""The routes on a running service around a scripted engine: shapes, headers, models, deadlines, clients that leave."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import TypeAdapter

from service.api.info import Model, ModelList
from service.wire.cohere_answer import CohereAnswer
from tests.fakes import ScriptedEngine
from tests.service.api.bad_input import BODIES, GOOD
from tests.service.http.raw import connected, everything, post, statuses
from tests.service.serving import wait_until
from tests.service.wire.server import open_service
from tests.waiting import PATIENCE

QUERY = "red apple pie"
TEXTS = ["nothing", "an apple pie", "red apple pie", "a pie"]
BEST_FIRST = [2, 1, 3, 0]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with open_service(served_name="apple", model_aliases=("pear", "*")) as url, httpx.Client(base_url=url) as client:
        yield client


def order(results: list[dict[str, Any]]) -> list[int]:
    return [result["index"] for result in results]


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank", "/v1/ranking", "/ranking"])
def test_the_body_decides_whatever_the_path(client: httpx.Client, path: str) -> None:
    cohere = client.post(path, json={"query": QUERY, "documents": TEXTS}).json()
    assert order(cohere["results"]) == BEST_FIRST
    tei = client.post(path, json={"query": QUERY, "texts": TEXTS}).json()
    assert order(tei) == BEST_FIRST
    nim = client.post(path, json={"query": {"text": QUERY}, "passages": [{"text": text} for text in TEXTS]}).json()
    assert order(nim["rankings"]) == BEST_FIRST
    assert [result["logit"] for result in nim["rankings"]] == [2.0, 1.0, 0.0, -1.0]
    scores = [result["relevance_score"] for result in cohere["results"]]
    assert scores == [result["score"] for result in tei]
    assert scores == pytest.approx([0.880797, 0.731059, 0.5, 0.268941], rel=1e-5)


def test_ties_are_in_the_order_of_the_documents(client: httpx.Client) -> None:
    answer = client.post("/rerank", json={"query": "a", "documents": ["b", "a", "b", "a"]}).json()
    assert order(answer["results"]) == [1, 3, 0, 2]


def test_reasoning_on_request(client: httpx.Client) -> None:
    body = {"query": QUERY, "documents": TEXTS, "mode": "reasoning", "return_reasoning": True, "top_n": 1}
    answer = TypeAdapter(CohereAnswer).validate_json(client.post("/rerank", json=body).content)
    assert answer["results"][0]["reasoning"]["text"] == "It answers the question."
    assert answer["usage"]["completion_tokens"] == 5 * len(TEXTS)  # of all documents, also of those cut by top_n


def test_a_blank_document_is_scored_and_mentioned(client: httpx.Client) -> None:
    answer = client.post("/rerank", json={"query": QUERY, "documents": ["", "apple"]}).json()
    assert len(answer["results"]) == 2
    assert answer["meta"]["warnings"] == ["1 of 2 documents are blank: 0."]


@pytest.mark.parametrize("shape", BODIES)
def test_every_answer_tells_its_time_by_phase(client: httpx.Client, shape: str) -> None:
    headers = client.post("/rerank", json=BODIES[shape]).headers
    for name in ("x-total-time", "x-queue-time", "x-tokenization-time", "x-inference-time", "x-compute-time"):
        assert headers[name].isdigit()
    assert headers["x-compute-type"] == "none"  # the scripted engine's device
    assert headers["x-compute-tokens"] == "100"
    assert headers["x-compute-characters"] == str(len("red apple") + len("a blue sky") + len("a red apple"))
    phases = dict(part.split(";dur=") for part in headers["server-timing"].split(", "))
    assert set(phases) == {"queue", "tokenize", "inference", "total"}
    assert float(phases["total"]) >= float(phases["inference"])


def test_models_are_listed_and_found(client: httpx.Client) -> None:
    for path in ("/v1/models", "/models"):
        models = TypeAdapter(ModelList).validate_json(client.get(path).content)
        assert [model["id"] for model in models["data"]] == ["apple", "pear"]
    assert TypeAdapter(Model).validate_json(client.get("/v1/models/pear").content)["id"] == "pear"
    missing = client.get("/v1/models/a/plum")
    assert missing.status_code == 404
    assert missing.json()["message"] == "model 'a/plum' is not served here; use one of: apple, pear."


def test_info_tells_the_limits(client: httpx.Client) -> None:
    info = client.get("/info").json()
    assert info["model"]["name"] == "apple"
    assert info["limits"]["max_documents"] == 10_000
    assert info["limits"]["max_body_bytes"] == 16 * 1024 * 1024


def test_an_unknown_path_is_answered_with_the_valid_ones(client: httpx.Client) -> None:
    for path in ("/v1/reranks/", "/v3/rerank", "/", "/rerank/v1/"):
        answer = client.post(path, json=GOOD)
        assert answer.status_code == 404
        for valid in ("POST /rerank", "POST /v1/rerank", "POST /v2/rerank", "GET /v1/models", "GET /health/ready"):
            assert valid in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/rerank/", "//rerank", "/v1//rerank", "/v2/rerank//", "/ranking/"])
def test_a_slash_too_many_in_a_rerank_path_is_passed_over(client: httpx.Client, path: str) -> None:
    with connected(str(client.base_url)) as connection:  # httpx takes "//rerank" for a host
        connection.sendall(post("Connection: close", path=path))
        answer = everything(connection)
    assert statuses(answer) == [200]
    assert len(json.loads(answer.partition(b"\r\n\r\n")[2])["results"]) == 2


def test_a_slash_too_many_behind_a_root_path() -> None:
    with open_service(root_path="/models/rerank") as url, httpx.Client(base_url=url) as client:
        for path in ("/models/rerank/v1/rerank/", "/models/rerank//rerank", "/rerank/", "/models/rerank/rerank"):
            assert client.post(path, json=GOOD).status_code == 200, path
        assert client.post("/models/rerank/other/", json=GOOD).status_code == 404


def test_a_wrong_method_is_answered_with_the_right_one(client: httpx.Client) -> None:
    answer = client.get("/rerank")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert "use POST" in answer.json()["message"]


def test_a_deadline_is_kept_in_every_shape() -> None:
    engine = ScriptedEngine()
    with open_service(engine) as url, httpx.Client(base_url=url) as client:
        engine.stuck = True
        for shape, body in BODIES.items():
            begun = time.monotonic()
            answer = client.post("/rerank", json=body, headers={"X-Request-Timeout-Ms": "100"})
            assert answer.status_code == 504
            assert time.monotonic() - begun >= 0.1
            message = answer.json()["error"] if shape == "texts" else answer.json()["message"]
            assert "2 documents" in message


def test_a_document_the_engine_fails_on_is_named_by_its_index() -> None:
    with open_service(ScriptedEngine(fail_always={"bad"})) as url, httpx.Client(base_url=url) as client:
        answer = client.post("/rerank", json={"query": "a", "documents": ["good", "good", "bad"]})
        assert answer.status_code == 500
        assert answer.json()["message"].startswith("The engine could not score document 2,")
        assert answer.json()["error"]["code"] == "engine_failed"
        assert answer.json()["error"]["param"] == "documents[2]"
        tei = client.post("/rerank", json={"query": "a", "texts": ["good", "bad"]})
        assert (tei.status_code, tei.json()["error_type"]) == (424, "Backend")
        assert tei.json()["error"].startswith("The engine could not score document 1,")
        assert client.post("/rerank", json=GOOD).status_code == 200


def test_a_dead_engine_is_unavailable_with_a_time_to_retry() -> None:
    engine = ScriptedEngine()
    with open_service(engine) as url, httpx.Client(base_url=url) as client:
        engine.dead = True
        for body in BODIES.values():
            answer = client.post("/rerank", json=body)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1


def test_a_full_queue_is_503_for_cohere_s_clients_and_429_for_tei_s() -> None:
    engine = ScriptedEngine()
    with open_service(engine, window=1, max_queued_documents=4) as url:
        engine.stuck = True
        body = {"query": "a", "documents": ["a"] * 4}
        first = begin_call(url, body)
        with httpx.Client(base_url=url) as client:
            wait_until(lambda: metric(client, "limrank_running_documents") == 1)
            cohere = client.post("/rerank", json=body)
            tei = client.post("/rerank", json={"query": "a", "texts": ["a"] * 4})
        assert (cohere.status_code, tei.status_code) == (503, 429)
        assert tei.json()["error_type"] == "Overloaded"
        assert int(cohere.headers["retry-after"]) >= 1
        assert int(tei.headers["retry-after"]) >= 1
        first.close()


def test_a_client_that_leaves_frees_its_work() -> None:
    engine = ScriptedEngine()
    with open_service(engine) as url, httpx.Client(base_url=url) as client:
        engine.stuck = True
        connection = begin_call(url, {"query": "a", "documents": ["a"] * 200})
        wait_until(lambda: engine.running > 0)
        connection.close()
        wait_until(lambda: engine.running == 0)
        engine.stuck = False
        assert client.post("/rerank", json=GOOD).status_code == 200
        assert metric(client, "limrank_running_documents") == metric(client, "limrank_queued_documents") == 0
        assert metric(client, "limrank_requests_cancelled_total") == 1


def test_a_client_that_leaves_while_it_sends() -> None:
    with open_service() as url, httpx.Client(base_url=url) as client:
        connection = connect(url)
        connection.sendall(b'POST /rerank HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"query":')
        connection.close()
        wait_until(lambda: metric(client, "limrank_requests_cancelled_total") == 1)
        assert client.post("/rerank", json=GOOD).status_code == 200


def connect(url: str) -> socket.socket:
    address = urlsplit(url)
    assert address.hostname
    assert address.port
    return socket.create_connection((address.hostname, address.port), timeout=PATIENCE)


def begin_call(url: str, body: dict[str, Any]) -> socket.socket:
    """The connection on which a call was sent and no answer read."""
    content = json.dumps(body).encode()
    connection = connect(url)
    connection.sendall(f"POST /rerank HTTP/1.1\r\nHost: a\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)
    return connection


def metric(client: httpx.Client, name: str) -> float:
    """The sum of a metric's series."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)
