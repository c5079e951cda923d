"""LangChain's NVIDIARerank, which asks for the models when none is named and reads logits."""

from __future__ import annotations

from tests.clients.client_runs import Answers
from tests.clients.live_service import LiveService
from tests.clients.rankings import Ranking, assert_error, assert_same, assert_snippets, log_odds

SCRIPT = "langchain_nvidia"


def test_ranks_as_a_plain_post_does_with_log_odds(answers: Answers, plain: Ranking) -> None:
    assert_same(answers.ranked("rank"), log_odds(plain))
    assert_same(answers.ranked("truncate"), log_odds(plain))


def test_takes_the_served_model_when_none_is_named(answers: Answers, service: LiveService) -> None:
    _, answer = service.post("/v1/rerank", {"query": "q", "documents": ["d"]})
    assert answers.value("model") == answer["model"]


def test_a_model_name_that_is_not_listed_is_served(answers: Answers, plain: Ranking) -> None:
    assert_same(answers.ranked("other_name"), log_odds(plain))


def test_top_n_is_cut_by_the_client(answers: Answers, plain: Ranking) -> None:
    assert_same(answers.ranked("top_n"), log_odds(plain), top_n=2)


def test_scores_of_several_batches_compare(answers: Answers, plain: Ranking) -> None:
    assert_same(answers.ranked("batches"), log_odds(plain))


def test_errors_carry_status_and_sentence(answers: Answers) -> None:
    assert_error(answers, "wrong_key", "Exception", "[401] A valid key is needed")
    assert_error(answers, "blank_query", "Exception", "query.text must not be empty")
    assert "[400]" in answers.error("blank_query")["text"]
    assert_error(answers, "too_many", "Exception", "more than the limit of 50")
    assert answers.error("too_many")["text"].startswith("[413]")


def test_snippet_of_the_page(answers: Answers, plain: Ranking) -> None:
    assert_snippets(answers, log_odds(plain), 2)
