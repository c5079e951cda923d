"""`min_score`: what is left out, in every shape, and how the answer says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.verdict import relevance
from tests.fakes import ScriptedEngine, by_word_overlap
from tests.service.reranking import Service
from tests.service.test_reranker import by_number
from tests.service.wire.server import open_service

NUMBERS = [3, -3, 0, 1, -1]
TEXTS = [str(number) for number in NUMBERS]
BODIES: dict[str, dict[str, Any]] = {
    "documents": {"query": "q", "documents": TEXTS},
    "texts": {"query": "q", "texts": TEXTS},
    "passages": {"query": {"text": "q"}, "passages": [{"text": text} for text in TEXTS]},
}
ABOVE_HALF = [0, 3, 2]


def by_number_or_words(query: str, passage: str) -> float:
    """As `by_number`, and something else of what a server scores by itself at its start."""
    return by_number(query, passage) if passage in TEXTS else by_word_overlap(query, passage)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with open_service(ScriptedEngine(log_odds=by_number_or_words)) as url, httpx.Client(base_url=url) as client:
        yield client


def order(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    results = body if isinstance(body, list) else body["rankings"] if "rankings" in body else body["results"]
    return [result["index"] for result in results]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=20),
    st.floats(0, 1) | st.integers(-5, 5).map(lambda number: relevance(float(number))),
    st.none() | st.integers(1, 25),
)
async def test_it_leaves_out_those_below_and_no_others(numbers: list[int], least: float, top: int | None) -> None:
    service = Service(ScriptedEngine(log_odds=by_number))
    texts = [str(number) for number in numbers]
    whole, cut = await service.rank(texts), await service.rank(texts, min_score=least, top_n=top)
    above = [result for result in whole.results if result.relevance >= least]
    assert [result.index for result in cut.results] == [result.index for result in above][:top]
    assert (whole.below_min_score, cut.below_min_score) == (None, len(numbers) - len(above))
    same = dataclasses.replace(
        cut, results=whole.results, id=whole.id, timings=whole.timings, below_min_score=whole.below_min_score
    )
    assert same == whole, "usage counts every document"


@pytest.mark.parametrize("name", ["min_score", "score_threshold", "threshold"])
def test_a_field_of_bodies_with_documents(client: httpx.Client, name: str) -> None:
    answer = client.post("/v2/rerank", json=BODIES["documents"] | {name: 0.5})
    assert order(answer) == ABOVE_HALF, "a score of exactly the least stays"
    assert answer.json()["meta"]["below_min_score"] == 2
    assert answer.headers["x-below-min-score"] == "2"


@pytest.mark.parametrize("shape", BODIES)
@pytest.mark.parametrize("name", ["min_score", "score_threshold", "threshold"])
def test_a_parameter_of_every_shape(client: httpx.Client, shape: str, name: str) -> None:
    answer = client.post(f"/rerank?{name}=0.5", json=BODIES[shape])
    assert order(answer) == ABOVE_HALF
    assert answer.headers["x-below-min-score"] == "2"


def test_bodies_of_tei_and_nim_have_no_field_for_it(client: httpx.Client) -> None:
    for shape in ("texts", "passages"):
        answer = client.post("/rerank", json=BODIES[shape] | {"min_score": 0.5, "threshold": "half"})
        assert len(order(answer)) == len(TEXTS)
        assert "x-below-min-score" not in answer.headers


def test_it_is_of_relevance_where_the_answer_shows_log_odds(client: httpx.Client) -> None:
    answer = client.post("/rerank?min_score=0.9", json=BODIES["texts"] | {"raw_scores": True})
    assert answer.json() == [{"index": 0, "score": 3.0}]


@pytest.mark.parametrize("shape", BODIES)
def test_no_result_is_an_answer(client: httpx.Client, shape: str) -> None:
    answer = client.post("/rerank?min_score=1", json=BODIES[shape])
    assert order(answer) == []
    assert answer.headers["x-below-min-score"] == str(len(TEXTS))


def test_voyages_results_are_cut_too(client: httpx.Client) -> None:
    body = client.post("/v1/rerank", json=BODIES["documents"] | {"top_k": 2, "threshold": 0.5}).json()
    assert [result["index"] for result in body["data"]] == ABOVE_HALF[:2]
    assert body["meta"]["below_min_score"] == 2


def test_without_it_nothing_is_said(client: httpx.Client) -> None:
    answer = client.post("/rerank", json=BODIES["documents"])
    assert "below_min_score" not in answer.json()["meta"]
    assert "x-below-min-score" not in answer.headers
