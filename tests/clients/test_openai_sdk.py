"""The openai SDK's decisions: each is the relevance of the input to the instructions."""

from __future__ import annotations

import pytest

from tests.clients.client_runs import Answers
from tests.clients.rankings import Ranking, assert_error, assert_snippets

SCRIPT = "openai_sdk"


def test_decides_as_a_plain_post_ranks(answers: Answers, plain: Ranking) -> None:
    found = answers.value("decide")
    assert [answer[:2] for answer in found] == [["predicate", "asked"]] * len(plain)
    relevance = dict(plain)
    assert [answer[2] for answer in found] == pytest.approx([relevance[n] for n in range(len(plain))], abs=1e-4)


def test_several_questions_are_answered_in_their_order(answers: Answers) -> None:
    first, second = answers.value("several")
    assert (first[1], second[1]) == ("asked", "again")
    assert first[2] == pytest.approx(second[2], abs=1e-4)


def test_a_message_is_read_as_its_text(answers: Answers) -> None:
    assert answers.value("messages")[0][2] == pytest.approx(answers.value("several")[0][2], abs=1e-4)


def test_usage_is_counted(answers: Answers) -> None:
    prompt, written, total = answers.value("usage")
    assert prompt > 10
    assert (written, total) == (0, prompt)


def test_errors_are_the_sdks_own(answers: Answers) -> None:
    assert_error(answers, "choice", "BadRequestError", "questions[1].type is 'choice'", 400)
    assert_error(answers, "no_questions", "BadRequestError", "questions must not be empty", 400)
    assert_error(answers, "wrong_key", "AuthenticationError", "A valid key is needed", 401)
    assert_error(answers, "too_many", "APIStatusError", "more than the limit of 50", 413)


def test_snippet_of_the_page(answers: Answers, plain: Ranking) -> None:
    assert_snippets(answers, plain, len(plain))
