"""Bad and odd input over a socket: a clear 4xx that names the field, or the documented answer; then all is well."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.service.api import bad_input
from tests.service.api.bad_input import GOOD, Case
from tests.service.api.bad_input_cases import cases
from tests.service.wire.server import open_service
from tests.waiting import PATIENCE

MAX_DOCUMENTS = 10_000
MAX_BODY_BYTES = 16 * 1024 * 1024
CASES = cases(MAX_DOCUMENTS, MAX_BODY_BYTES)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with open_service() as url, httpx.Client(base_url=url, timeout=PATIENCE) as client:
        yield client


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_answer_and_then_a_good_request(client: httpx.Client, case: Case) -> None:
    bad_input.check(client, case)


def test_a_body_over_the_limit_without_content_length(client: httpx.Client) -> None:
    chunks = (b"[" * 65536 for _ in range(MAX_BODY_BYTES // 65536 + 1))
    answer = client.post("/rerank", content=chunks)
    assert answer.status_code == 413
    assert "limit of 16777216 bytes" in answer.json()["message"]
    assert client.post("/rerank", json=GOOD).status_code == 200


def test_a_body_that_claims_to_be_over_the_limit_is_refused_before_it_is_sent(client: httpx.Client) -> None:
    address = urlsplit(str(client.base_url))
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
        connection.sendall(f"POST /rerank HTTP/1.1\r\nHost: a\r\nContent-Length: {2 * MAX_BODY_BYTES}\r\n\r\n".encode())
        assert b" 413 " in connection.recv(65536)
    assert client.post("/rerank", json=GOOD).status_code == 200


@pytest.mark.parametrize("shape", ["documents", "passages"])
def test_an_unknown_model_is_answered_with_the_known_ones(shape: str) -> None:
    body = bad_input.BODIES[shape]
    with open_service(served_name="apple", model_aliases=("pear",)) as url, httpx.Client(base_url=url) as client:
        answer = client.post("/rerank", json=body | {"model": "plum"})
        assert answer.status_code == 404
        assert answer.json()["error"]["param"] == "model"
        assert answer.json()["message"] == "model 'plum' is not served here; use one of: apple, pear."
        for model in ("apple", "pear", None, ""):
            assert client.post("/rerank", json=body | {"model": model}).status_code == 200


def test_any_model_name_by_default(client: httpx.Client) -> None:
    answer = client.post("/rerank", json=GOOD | {"model": "rerank-v3.5"})
    assert answer.status_code == 200
    assert answer.json()["model"] == "scripted"


def test_errors_repeat_no_text_of_the_caller(client: httpx.Client) -> None:
    secret = "the patient's name"
    for body in (
        {"query": [secret], "documents": ["a"]},
        {"query": "q", "documents": secret},
        {"query": "q", "documents": [[secret]]},
        {"query": "q", "texts": secret},
        {"query": secret, "passages": [{"text": "a"}]},
        {"query": {"text": "q"}, "passages": [secret]},
        {"query": "q", "documents": ["a"], "instruction": [secret]},
        {"query": "q", "documents": [{"text": {"a": secret}}]},
    ):
        answer = client.post("/rerank", json=body)
        assert answer.status_code in (400, 422)
        assert secret not in answer.text
