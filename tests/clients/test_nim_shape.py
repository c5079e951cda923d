"""The body of NVIDIA's reranking NIM, by plain HTTP: what its own clients send and what must come back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.live_service import DOCUMENTS, QUERY, LiveService
from tests.clients.rankings import Ranking, assert_same, log_odds


def _body(**more: Any) -> dict[str, Any]:
    passages = [{"text": text} for text in DOCUMENTS]
    return {"model": "nvidia/some-reranker", "query": {"text": QUERY}, "passages": passages} | more


def _ranked(answer: Any) -> list[tuple[int, float]]:
    return [(entry["index"], entry["logit"]) for entry in answer["rankings"]]


@pytest.mark.parametrize("path", ["/v1/ranking", "/ranking", "/rerank"])
def test_every_path_ranks_with_log_odds(service: LiveService, plain: Ranking, path: str) -> None:
    status, answer = service.post(path, _body())
    assert status == 200
    assert_same(_ranked(answer), log_odds(plain))
    assert set(answer["rankings"][0]) == {"index", "logit"}
    assert answer["usage"]["prompt_tokens"] > len(DOCUMENTS)


def test_truncate_none_refuses_a_passage_that_does_not_fit(service: LiveService) -> None:
    body = _body(passages=[{"text": "short"}, {"text": "word " * 20_000}], truncate="NONE")
    status, answer = service.post("/v1/ranking", body)
    assert status == 400
    assert answer["detail"].startswith("Document 1 has more than the ")
    assert "forbids truncation" in answer["detail"]
    assert answer["error"]["param"] == "passages[1]"


def test_unknown_fields_are_ignored(service: LiveService, plain: Ranking) -> None:
    status, answer = service.post("/v1/ranking", _body(some_new_field=True))
    assert status == 200
    assert_same(_ranked(answer), log_odds(plain))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"query": {"text": " "}}, "query.text"),
        ({"query": QUERY}, "query"),
        ({"passages": []}, "passages"),
        ({"passages": [{"text": None}]}, "passages[0].text"),
        ({"truncate": "START"}, "truncate"),
    ],
)
def test_a_bad_body_is_a_400_that_names_the_field(service: LiveService, change: dict[str, Any], field: str) -> None:
    status, answer = service.post("/v1/ranking", _body(**change))
    assert status == 400
    assert answer["detail"].startswith(field)


def test_a_wrong_key_is_a_401(service: LiveService) -> None:
    status, answer = service.post("/v1/ranking", _body(), key="wrong-key")
    assert status == 401
    assert "key" in answer["detail"]
