"""LangChain's CohereRerank, which sends `max_tokens_per_doc: null` unless told otherwise."""

from __future__ import annotations

from tests.clients.client_runs import Answers
from tests.clients.live_service import DOCUMENTS, LiveService
from tests.clients.rankings import Ranking, assert_error, assert_same, assert_snippets

SCRIPT = "langchain_cohere_rerank"


def test_ranks_as_a_plain_post_does(answers: Answers, plain: Ranking) -> None:
    assert_same(answers.ranked("all"), plain)


def test_its_own_top_n(answers: Answers, plain: Ranking) -> None:
    assert_same(answers.ranked("default"), plain, top_n=2)
    assert_same(answers.ranked("compress"), plain, top_n=2)


def test_records_arrive_as_yaml_text(answers: Answers, service: LiveService) -> None:
    assert_same(answers.ranked("records"), service.ranking([f"body: {text}\n" for text in DOCUMENTS]))


def test_errors_are_the_sdks_own(answers: Answers) -> None:
    assert_error(answers, "wrong_key", "UnauthorizedError", "A valid key is needed", 401)
    assert_error(answers, "blank_query", "BadRequestError", "query must not be empty", 400)
    assert_error(answers, "too_many", "ApiError", "more than the limit of 50", 413)


def test_snippet_of_the_page(answers: Answers, plain: Ranking) -> None:
    assert_snippets(answers, plain, 2)
