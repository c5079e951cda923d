"""The `passages` shape: what clients of NVIDIA's reranking NIM send and read."""

from __future__ import annotations

from typing import Any

import pytest

from service.wire.nim import read
from tests.service.wire.rankings import ranking_of

BODY: dict[str, Any] = {"query": {"text": "a query"}, "passages": [{"text": "one"}, {"text": "two"}]}


def test_rankings_with_logits() -> None:
    request = read({**BODY, "model": "m"})
    assert request.call.query == "a query"
    assert request.call.passages == ("one", "two")
    assert request.call.model == "m"
    assert request.answer(ranking_of(request.call, -1.0, 3.0)) == {
        "rankings": [{"index": 1, "logit": 3.0}, {"index": 0, "logit": -1.0}],
        "usage": {"prompt_tokens": 100, "total_tokens": 106},
    }


def test_warnings_when_there_are_any() -> None:
    request = read(BODY)
    answer = request.answer(ranking_of(request.call, warnings=("One was cut.",)))
    assert answer["meta"] == {"warnings": ["One was cut."]}


@pytest.mark.parametrize(("sent", "truncate"), [(None, True), ("END", True), ("NONE", False)])
def test_passages_that_do_not_fit_are_cut_unless_forbidden(sent: str | None, truncate: bool) -> None:
    assert read({**BODY, "truncate": sent}).call.truncate is truncate


@pytest.mark.parametrize("key", ["top_n", "top_k"])
def test_either_name_cuts_the_rankings(key: str) -> None:
    assert read({**BODY, key: 1}).call.top_n == 1
    assert read({**BODY, key: 0}).call.top_n is None
