"""The `texts` shape: what clients of text-embeddings-inference send, read, and expect of errors."""

from __future__ import annotations

from typing import Any

import pytest

from service.errors import (
    BadRequest,
    BodyTooLarge,
    DeadlineExceeded,
    EmptyList,
    EngineDead,
    EngineFailed,
    PassageTooLong,
    ServiceError,
    TooManyRequests,
    Unavailable,
)
from service.wire.tei import TeiRequest, TeiResult, error_body, read
from tests.service.wire.rankings import ranking_of

BODY: dict[str, Any] = {"query": "a query", "texts": ["one", "two", "three"]}


def answer(request: TeiRequest) -> list[TeiResult]:
    return request.answer(ranking_of(request.call, -1.0, 3.0, 1.0))


def test_a_bare_list_of_every_text() -> None:
    assert answer(read(BODY)) == [
        {"index": 1, "score": pytest.approx(0.9525741)},
        {"index": 2, "score": pytest.approx(0.7310586)},
        {"index": 0, "score": pytest.approx(0.2689414)},
    ]


def test_raw_scores_are_log_odds() -> None:
    assert [result["score"] for result in answer(read({**BODY, "raw_scores": True}))] == [3.0, 1.0, -1.0]


def test_texts_come_back_when_asked_for() -> None:
    assert [result["text"] for result in answer(read({**BODY, "return_text": True}))] == ["two", "three", "one"]
    assert all("text" not in result for result in answer(read({**BODY, "return_text": False})))


def test_only_the_caller_cuts_the_list() -> None:
    assert [result["index"] for result in answer(read({**BODY, "top_n": 1}))] == [1]
    for top_n in (None, 0, 3, 10):
        assert len(answer(read({**BODY, "top_n": top_n}))) == 3


@pytest.mark.parametrize(("sent", "truncate"), [(None, True), (True, True), (False, False)])
def test_texts_that_do_not_fit_are_cut_unless_forbidden(sent: bool | None, truncate: bool) -> None:
    assert read({**BODY, "truncate": sent}).call.truncate is truncate


@pytest.mark.parametrize(
    ("sent", "left"), [(None, False), ("Right", False), ("right", False), ("Left", True), ("left", True)]
)
def test_which_end_is_cut(sent: str | None, left: bool) -> None:
    assert read({**BODY, "truncation_direction": sent}).call.cut_left is left


def test_fields_of_other_shapes_are_ignored() -> None:
    call = read({**BODY, "model": 5, "mode": "fast", "documents": None, "instruction": 1}).call
    assert (call.model, call.mode, call.instruction) == (None, None, None)


@pytest.mark.parametrize(
    ("error", "status", "error_type"),
    [
        (EmptyList("m", field="texts"), 400, "Empty"),
        (BadRequest("m"), 422, "Validation"),
        (PassageTooLong(0, 9), 422, "Validation"),
        (BodyTooLarge("m"), 413, "Validation"),
        (TooManyRequests("m", retry_after=2), 429, "Overloaded"),
        (Unavailable("m", reason="queue_full"), 429, "Overloaded"),
        (Unavailable("m", reason="deadline"), 429, "Overloaded"),
        (Unavailable("m", reason="draining"), 503, "Unhealthy"),
        (Unavailable("m", reason="not_ready"), 503, "Unhealthy"),
        (EngineDead("m"), 503, "Unhealthy"),
        (EngineFailed("m"), 424, "Backend"),
        (DeadlineExceeded("m"), 504, "Backend"),
        (ServiceError("m"), 500, "Backend"),
    ],
)
def test_errors_have_tei_s_status_and_body(error: ServiceError, status: int, error_type: str) -> None:
    assert error_body(error) == (status, {"error": str(error), "error_type": error_type})
