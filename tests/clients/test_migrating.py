"""docs/migrating.md: what it says of bodies that the peers take, or refuse, is so."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.live_service import DOCUMENTS, MAX_DOCUMENTS, QUERY, LiveService
from tests.clients.rankings import Ranking, assert_same, log_odds

COHERE = {"model": "rerank-v3.5", "query": QUERY, "documents": DOCUMENTS}
TEI = {"query": QUERY, "texts": DOCUMENTS}


def _ranked(answer: Any) -> list[tuple[int, float]]:
    return [(result["index"], result["relevance_score"]) for result in answer["results"]]


IGNORED = [
    {"max_chunks_per_doc": 10, "relevant_spans": {"mode": "disabled"}},
    {"truncate_prompt_tokens": 4, "truncation_side": "left", "max_tokens_per_query": 1, "use_activation": False},
    {"chat_template_kwargs": {"a": 1}, "user": "u", "request_id": "r", "cache_salt": "s"},
]
ABSENT = [{"top_n": 0, "max_tokens_per_doc": 0}, {"top_n": None, "max_tokens_per_doc": None, "priority": None}]


@pytest.mark.parametrize("more", IGNORED + ABSENT)
def test_fields_that_change_nothing(service: LiveService, plain: Ranking, more: dict[str, Any]) -> None:
    status, answer = service.post("/v1/rerank", COHERE | more)
    assert status == 200
    assert_same(_ranked(answer), plain)
    assert all(set(result) == {"index", "relevance_score"} for result in answer["results"])


def test_several_rank_fields_are_lines(service: LiveService) -> None:
    records = [{"title": f"Page {page}", "body": text, "other": "x"} for page, text in enumerate(DOCUMENTS)]
    status, answer = service.post("/v2/rerank", COHERE | {"documents": records, "rank_fields": ["title", "body"]})
    assert status == 200
    assert_same(
        _ranked(answer), service.ranking([f"title: Page {i}\nbody: {text}" for i, text in enumerate(DOCUMENTS)])
    )


def test_documents_as_one_string_are_refused(service: LiveService) -> None:
    status, answer = service.post("/rerank", COHERE | {"documents": "one"})
    assert (status, answer["error"]["param"]) == (400, "documents")


def test_a_cut_is_reported(service: LiveService) -> None:
    documents = [DOCUMENTS[0], "word " * 300]
    status, answer = service.post("/rerank", COHERE | {"documents": documents, "max_tokens_per_doc": 50})
    assert (status, len(answer["results"])) == (200, 2)
    truncated, short = answer["meta"]["warnings"]
    assert truncated == "1 of 2 documents were truncated: 1."
    assert short.startswith("max_tokens_per_doc 50 lets little of a document be read")


def test_search_units_count_hundreds_of_documents(service: LiveService) -> None:
    _, answer = service.post("/v1/rerank", COHERE)
    assert answer["meta"]["billed_units"]["search_units"] == 1


def test_a_query_beyond_the_context_is_refused(service: LiveService) -> None:
    status, answer = service.post("/v2/rerank", COHERE | {"query": "word " * 20_000})
    assert status == 400
    assert "query" in answer["message"]


def test_tei_gets_one_entry_per_text(service: LiveService, plain: Ranking) -> None:
    status, answer = service.post("/rerank", TEI)
    assert status == 200
    assert_same([(entry["index"], entry["score"]) for entry in answer], plain)
    status, answer = service.post("/rerank", TEI | {"raw_scores": True, "top_n": 2})
    assert_same([(entry["index"], entry["score"]) for entry in answer], log_odds(plain), top_n=2)


@pytest.mark.parametrize(
    ("change", "status", "kind"),
    [
        ({"texts": []}, 400, "Empty"),
        ({"query": " "}, 422, "Validation"),
        ({"texts": [5]}, 422, "Validation"),
        ({"texts": DOCUMENTS * MAX_DOCUMENTS}, 413, "Validation"),
        ({"texts": ["word " * 20_000], "truncate": False}, 422, "Validation"),
    ],
)
def test_tei_statuses(service: LiveService, change: dict[str, Any], status: int, kind: str) -> None:
    found, answer = service.post("/rerank", TEI | change)
    assert (found, answer["error_type"]) == (status, kind)
    assert set(answer) == {"error", "error_type"}


@pytest.mark.parametrize("path", ["/rerank", "/v2/rerank", "/info", "/v1/models", "/score", "/embed"])
def test_every_path_needs_the_key(service: LiveService, path: str) -> None:
    status, answer = service.post(path, TEI, key="wrong-key")
    assert status == 401
    assert set(answer) == {"message", "detail", "error", "id"}


@pytest.mark.parametrize("path", ["/score", "/v1/score", "/generative_scoring", "/embed", "/predict", "/"])
def test_paths_of_the_peers_that_do_not_exist(service: LiveService, path: str) -> None:
    status, answer = service.post(path, COHERE)
    assert status == 404
    assert "POST /v1/rerank" in answer["message"]
