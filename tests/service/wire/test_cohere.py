"""The `documents` shape: what Cohere's, Jina's and Voyage's clients send, and what each of them reads in the answer."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from service.errors import BadRequest
from service.ranking import Mode
from service.wire.cohere import CohereRequest, read
from service.wire.cohere_answer import Result
from tests.service.wire.rankings import ranking_of

BODY: dict[str, Any] = {"query": "a query", "documents": ["one", "two", "three"]}


def read_with(path: str = "/v1/rerank", **fields: Any) -> CohereRequest:
    return read({**BODY, **fields}, path)


def results(request: CohereRequest) -> list[Result]:
    """As a client reads them."""
    sent: list[Result] = orjson.loads(orjson.dumps(request.answer(ranking_of(request.call, -1.0, 3.0, 1.0))["results"]))
    return sent


def test_the_whole_answer() -> None:
    request = read_with("/v2/rerank", top_n=2)
    answer = request.answer(ranking_of(request.call, -1.0, 3.0, 1.0, warnings=("One was cut.",)))
    tokens = {"input_tokens": 100, "output_tokens": 6}
    assert answer == {
        "id": "an-id",
        "object": "rerank",
        "model": "a-model",
        "results": [
            {"index": 1, "relevance_score": pytest.approx(0.952574)},
            {"index": 2, "relevance_score": pytest.approx(0.731059)},
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 6, "total_tokens": 106, "cached_tokens": 40},
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"search_units": 1, **tokens},
            "tokens": tokens,
            "cached_tokens": 40,
            "score_kind": "own",
            "warnings": ["One was cut."],
        },
    }


def test_nothing_to_warn_of_is_no_key() -> None:
    request = read_with()
    assert "warnings" not in request.answer(ranking_of(request.call))["meta"]


@pytest.mark.parametrize(("path", "version"), [("/rerank", "1"), ("/v1/rerank", "1"), ("/v2/rerank", "2")])
def test_version_by_path(path: str, version: str) -> None:
    request = read_with(path)
    assert request.answer(ranking_of(request.call))["meta"]["api_version"] == {"version": version}


def test_search_units_are_hundreds_of_documents() -> None:
    for count, units in ((1, 1), (100, 1), (101, 2)):
        request = read_with(documents=["a"] * count)
        assert request.answer(ranking_of(request.call))["meta"]["billed_units"]["search_units"] == units


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_documents_come_back_only_when_asked_for_and_are_never_null(path: str) -> None:
    for asked in (None, False):
        assert all("document" not in result for result in results(read_with(path, return_documents=asked)))
    shown = results(read_with(path, return_documents=True))
    assert [result["document"] for result in shown] == [{"text": "two"}, {"text": "three"}, {"text": "one"}]


def test_switches_may_be_strings() -> None:
    assert all("document" in result for result in results(read_with(return_documents="true")))
    assert all("document" not in result for result in results(read_with(return_documents="False")))
    assert not read_with(truncation="false").call.truncate
    assert read_with(return_reasoning="True").call.return_reasoning


def test_objects_come_back_with_all_their_keys() -> None:
    documents = [{"text": "one", "id": 7, "meta": {"a": [1]}}, {"title": "two", "text": None}, "three"]
    shown = results(read_with(documents=documents, return_documents=True, rank_fields=["text", "title"]))
    assert shown[2]["document"] == {"text": "one", "id": 7, "meta": {"a": [1]}}
    assert shown[0]["document"] == {"title": "two", "text": "title: two"}
    assert shown[1]["document"] == {"text": "three"}


def test_every_result_has_its_reasoning_when_asked_for() -> None:
    asked = results(read_with(return_reasoning=True, mode="reasoning"))
    assert all(result["reasoning"] == {"text": "Because.", "status": "complete", "tokens": 3} for result in asked)
    assert all("reasoning" not in result for result in results(read_with(mode="reasoning")))


@pytest.mark.parametrize("fields", [{"top_k": 2}, {"top_k": None}, {"truncation": True}, {"truncation": None}])
def test_a_key_of_voyage_adds_its_data_even_as_null(fields: dict[str, Any]) -> None:
    request = read_with(**fields, return_documents=True)
    answer = request.answer(ranking_of(request.call, -1.0, 3.0, 1.0))
    assert request.label == "voyage"
    assert answer["object"] == "list"
    assert answer["data"][0] == {"index": 1, "relevance_score": pytest.approx(0.952574), "document": "two"}
    assert answer["results"][0]["document"] == {"text": "two"}
    assert len(answer["data"]) == (2 if fields.get("top_k") else 3)


def test_no_key_of_voyage_no_data() -> None:
    request = read_with(top_n=2)
    assert request.label == "cohere"
    assert "data" not in request.answer(ranking_of(request.call))


def test_what_the_call_takes_from_the_body() -> None:
    call = read_with(
        model="m",
        mode="reasoning",
        instruction="an instruction",
        max_reasoning_tokens=64,
        return_reasoning=True,
        max_tokens_per_doc=100,
        truncation=False,
        priority=1,
        top_n=2,
    ).call
    assert call.query == "a query"
    assert call.passages == ("one", "two", "three")
    assert call.documents == (), "held only where the answer repeats them"
    assert (call.model, call.mode, call.instruction) == ("m", Mode.REASONING, "an instruction")
    assert (call.max_reasoning_tokens, call.return_reasoning, call.max_tokens_per_doc) == (64, True, 100)
    assert (call.truncate, call.priority, call.top_n) == (False, 1, 2)


def test_what_a_bare_body_means() -> None:
    call = read_with().call
    assert (call.model, call.mode, call.instruction, call.max_reasoning_tokens) == (None, None, None, None)
    assert (call.return_reasoning, call.max_tokens_per_doc, call.truncate, call.cut_left) == (False, None, True, False)
    assert (call.priority, call.top_n) == (None, None)


@pytest.mark.parametrize(("sent", "meant"), [(0, 0), (1, 1), (2, 2), (3, 2), (1000, 2), (None, None)])
def test_priorities_beyond_the_last_class_are_the_last(sent: int | None, meant: int | None) -> None:
    assert read_with(priority=sent).call.priority == meant


def test_zero_is_no_limit_of_tokens_and_all_results() -> None:
    call = read_with(max_tokens_per_doc=0, top_n=0).call
    assert (call.max_tokens_per_doc, call.top_n) == (None, None)
    assert read_with(top_n=0, top_k=None).call.top_n is None


@pytest.mark.parametrize(
    ("document", "rank_fields", "passage"),
    [
        ({"text": "t", "title": "x"}, None, "t"),
        ({"text": "t", "title": "x"}, [], "t"),
        ({"text": "t", "title": "x"}, ["title"], "x"),
        ({"text": "t", "title": "x"}, ["title", "text"], "title: x\ntext: t"),
        (
            {"title": "x", "year": 1999, "open": True, "score": 0.5},
            ["year", "open", "score"],
            "year: 1999\nopen: true\nscore: 0.5",
        ),
        ({"title": "x"}, ["text", "title"], "title: x"),
        ({"title": "x", "text": None}, ["text", "title"], "title: x"),
        ("plain", ["title"], "plain"),
        ({"text": ""}, None, ""),
    ],
)
def test_the_passage_of_a_document(document: Any, rank_fields: list[str] | None, passage: str) -> None:
    assert read_with(documents=[document], rank_fields=rank_fields).call.passages == (passage,)


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"top_n": "5"}, "top_n", "top_n must be a whole number, got the string '5'."),
        ({"top_n": True}, "top_n", "top_n must be a whole number, got true."),
        ({"top_n": 1.5}, "top_n", "top_n must be a whole number, got the number 1.5."),
        ({"top_n": -1}, "top_n", "top_n must be at least 0, got the number -1."),
        ({"mode": "fast"}, "mode", "mode must be 'direct', 'reasoning' or 'adaptive', got the string 'fast'."),
        ({"return_documents": 1}, "return_documents", "return_documents must be true or false, got the number 1."),
        ({"documents": "one"}, "documents", "documents must be a list, got a string."),
        ({"documents": ["a", 5]}, "documents[1]", "documents[1] must be a string or an object, got the number 5."),
        ({"documents": [{"text": 5}]}, "documents[0].text", "documents[0].text must be a string, got a number."),
        ({"query": {"text": "a"}}, "query", "query must be a string, got an object."),
        ({"query": None}, "query", "query must be a string, got null."),
        ({"query": " "}, "query", "query must not be empty or only white space."),
    ],
)
def test_errors_name_the_field_the_value_and_the_remedy(fields: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_with(**fields)
    assert (refused.value.field, refused.value.message) == (field, message)
