"""The voyageai SDK, which always sends `top_k` and `truncation` and reads `data`."""

from __future__ import annotations

from tests.clients.client_runs import Answers
from tests.clients.live_service import DOCUMENTS
from tests.clients.rankings import Ranking, assert_error, assert_same, assert_snippets

SCRIPT = "voyage_sdk"


def test_ranks_as_a_plain_post_does(answers: Answers, plain: Ranking) -> None:
    assert_same(answers.ranked("rank"), plain)
    assert [entry[2] for entry in answers.value("rank")] == [DOCUMENTS[index] for index, _ in plain]


def test_top_k(answers: Answers, plain: Ranking) -> None:
    assert_same(answers.ranked("top_k"), plain, top_n=2)


def test_usage_is_counted(answers: Answers) -> None:
    assert answers.value("tokens") > len(DOCUMENTS)


def test_truncation_false_refuses_a_document_that_does_not_fit(answers: Answers) -> None:
    assert_error(answers, "too_long", "InvalidRequestError", "Document 1 has more than the ", 400)


def test_errors_are_the_sdks_own(answers: Answers) -> None:
    assert_error(answers, "wrong_key", "AuthenticationError", "A valid key is needed", 401)
    assert_error(answers, "blank_query", "InvalidRequestError", "query must not be empty", 400)
    assert_error(answers, "rate_limited", "RateLimitError", "documents per minute", 429)
    assert_error(answers, "too_many", "APIError", "more than the limit of 50", 413)


def test_snippet_of_the_page(answers: Answers, plain: Ranking) -> None:
    assert_snippets(answers, plain, 2)
