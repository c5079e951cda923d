"""LlamaIndex's three rerankers that can point at this service."""

from __future__ import annotations

import pytest

from tests.clients.client_runs import Answers
from tests.clients.rankings import Ranking, assert_error, assert_same, assert_snippets

SCRIPT = "llama_index_rerank"


@pytest.mark.parametrize("reranker", ["cohere", "jina", "tei"])
def test_ranks_as_a_plain_post_does(answers: Answers, plain: Ranking, reranker: str) -> None:
    assert_same(answers.ranked(reranker), plain)
    assert_same(answers.ranked(f"{reranker}_top_n"), plain, top_n=2)


def test_tei_rerank_sends_its_token_as_it_is(answers: Answers, plain: Ranking) -> None:
    assert_same(answers.ranked("tei_key_without_bearer"), plain)


def test_errors_of_cohere_rerank_are_the_sdks_own(answers: Answers) -> None:
    assert_error(answers, "cohere_wrong_key", "UnauthorizedError", "A valid key is needed", 401)
    assert_error(answers, "cohere_blank_query", "BadRequestError", "query must not be empty", 400)
    assert_error(answers, "cohere_too_many", "ApiError", "more than the limit of 50", 413)


def test_errors_of_jina_rerank_are_our_sentences(answers: Answers) -> None:
    assert_error(answers, "jina_wrong_key", "RuntimeError", "A valid key is needed")
    assert_error(answers, "jina_blank_query", "RuntimeError", "query must not be empty")
    assert_error(answers, "jina_too_many", "RuntimeError", "more than the limit of 50")


def test_tei_rerank_hides_every_error(answers: Answers) -> None:
    """It never looks at the status; docs/clients.md says what its users see."""
    for call in ("tei_wrong_key", "tei_blank_query", "tei_too_many"):
        assert_error(answers, call, "AssertionError", "")


def test_snippets_of_the_page(answers: Answers, plain: Ranking) -> None:
    assert_snippets(answers, plain, 2, 2, 2)
