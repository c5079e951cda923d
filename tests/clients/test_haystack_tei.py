"""Haystack's HuggingFaceTEIRanker, which sends TEI's body to /rerank of the host."""

from __future__ import annotations

from tests.clients.client_runs import Answers
from tests.clients.rankings import Ranking, assert_error, assert_same, assert_snippets, log_odds

SCRIPT = "haystack_tei"


def test_ranks_as_a_plain_post_does(answers: Answers, plain: Ranking) -> None:
    assert_same(answers.ranked("rank"), plain)
    assert_same(answers.ranked("cut_left"), plain)


def test_top_k_is_cut_by_the_client(answers: Answers, plain: Ranking) -> None:
    assert_same(answers.ranked("top_k"), plain, top_n=2)


def test_raw_scores_are_log_odds(answers: Answers, plain: Ranking) -> None:
    assert_same(answers.ranked("raw_scores"), log_odds(plain))


def test_a_path_in_the_url_is_dropped(answers: Answers, plain: Ranking) -> None:
    assert_same(answers.ranked("path_dropped"), plain)


def test_errors_carry_status_and_sentence(answers: Answers) -> None:
    assert_error(answers, "wrong_key", "RuntimeError", "A valid key is needed")
    assert "401" in answers.error("wrong_key")["text"]
    assert_error(answers, "blank_query", "RuntimeError", "query must not be empty")
    assert "422" in answers.error("blank_query")["text"]
    assert_error(answers, "too_many", "RuntimeError", "more than the limit of 50")
    assert "413" in answers.error("too_many")["text"]


def test_snippet_of_the_page(answers: Answers, plain: Ranking) -> None:
    assert_snippets(answers, plain, 2)
