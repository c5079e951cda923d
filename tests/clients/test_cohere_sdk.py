"""The cohere SDK, both of its clients."""

from __future__ import annotations

import pytest

from tests.clients.client_runs import Answers
from tests.clients.live_service import DOCUMENTS, LiveService
from tests.clients.rankings import Ranking, assert_error, assert_same, assert_snippets

SCRIPT = "cohere_sdk"


@pytest.mark.parametrize("call", ["v1", "v1_records", "v2", "v2_nulls", "v2_top_n_larger", "v2_priority", "v1_chunks"])
def test_ranks_as_a_plain_post_does(answers: Answers, plain: Ranking, call: str) -> None:
    assert_same(answers.ranked(call), plain)


def test_top_n(answers: Answers, plain: Ranking) -> None:
    assert_same(answers.ranked("v2_top_n"), plain, top_n=2)


def test_rank_fields_choose_what_is_scored(answers: Answers, plain: Ranking) -> None:
    assert_same(answers.ranked("v1_rank_fields"), plain)


def test_v1_echoes_records_whole_when_asked(answers: Answers, plain: Ranking) -> None:
    assert answers.value("v1_echo") == [[index, DOCUMENTS[index], f"page {index}"] for index, _ in plain]


def test_own_fields_travel_in_the_additional_body(answers: Answers, service: LiveService) -> None:
    assert_same(answers.ranked("v2_instruction"), service.ranking(instruction="Prefer passages about bread."))
    reasoning = answers.value("v2_reasoning")
    assert 1 <= reasoning["tokens"] <= 4
    assert reasoning["status"] in {"complete", "budget", "end_of_text", "repetition"}
    assert reasoning["text"]


def test_relevant_spans_are_the_sentences_best_first(answers: Answers, plain: Ranking) -> None:
    spans, of_the_empty_one = answers.value("v2_spans")
    text = " ".join(DOCUMENTS)
    found = [(text[start:end], score) for start, end, score in spans]
    assert [sentence for sentence, _ in found] == [DOCUMENTS[index] for index, _ in plain[:2]]
    assert [score for _, score in found] == pytest.approx([score for _, score in plain[:2]], abs=1e-3)
    assert of_the_empty_one is None


def test_meta_counts_tokens(answers: Answers) -> None:
    assert answers.value("v2_meta") > len(DOCUMENTS)


def test_errors_are_the_sdks_own(answers: Answers) -> None:
    assert_error(answers, "wrong_key", "UnauthorizedError", "A valid key is needed", 401)
    for call in ("blank_query_v1", "blank_query_v2"):
        assert_error(answers, call, "BadRequestError", "query must not be empty", 400)
    assert_error(answers, "no_documents", "BadRequestError", "documents must not be empty", 400)
    assert_error(answers, "rate_limited", "TooManyRequestsError", "documents per minute", 429)
    assert_error(answers, "spans_refused", "BadRequestError", "relevant_spans.threshold must be at most 1", 400)
    assert_error(answers, "too_many", "ApiError", "more than the limit of 50", 413)


def test_snippets_of_the_page(answers: Answers, plain: Ranking) -> None:
    assert_snippets(answers, plain, 2, 2)
