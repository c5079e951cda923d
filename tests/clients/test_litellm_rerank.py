"""litellm.rerank through its providers."""

from __future__ import annotations

import pytest

from tests.clients.client_runs import Answers
from tests.clients.live_service import DOCUMENTS, LiveService
from tests.clients.rankings import Ranking, assert_error, assert_same, assert_snippets, log_odds

SCRIPT = "litellm_rerank"
PROVIDERS = ["hosted_vllm", "cohere", "jina_ai", "huggingface", "voyage", "nvidia_nim", "infinity"]


def _documents(answers: Answers, name: str) -> list[object]:
    return [entry[2] for entry in answers.value(name)]


@pytest.mark.parametrize("provider", ["hosted_vllm", "cohere", "jina_ai", "huggingface", "voyage"])
def test_ranks_as_a_plain_post_does(answers: Answers, plain: Ranking, provider: str) -> None:
    assert_same(answers.ranked(provider), plain)
    assert _documents(answers, provider) == [{"text": DOCUMENTS[index]} for index, _ in plain]
    assert_same(answers.ranked(f"{provider} bare"), plain, top_n=2)
    assert _documents(answers, f"{provider} bare") == [None, None]


def test_nvidia_nim_gives_log_odds(answers: Answers, plain: Ranking) -> None:
    assert_same(answers.ranked("nvidia_nim"), log_odds(plain))
    assert_same(answers.ranked("nvidia_nim bare"), log_odds(plain), top_n=2)


def test_infinity_works_only_without_documents(answers: Answers, plain: Ranking) -> None:
    """Its response type wants documents as strings, every other client an object; docs/clients.md says what to use."""
    assert_error(answers, "infinity", "APIConnectionError", "results.0.document", 500)
    assert_same(answers.ranked("infinity bare"), plain, top_n=2)


@pytest.mark.parametrize(
    "call",
    [
        "hosted_vllm at /v1",
        "hosted_vllm at /v1/rerank",
        "cohere at /v1/rerank",
        "cohere at /v2/rerank",
        "jina_ai at a prefix",
    ],
)
def test_every_documented_base_reaches_the_service(answers: Answers, plain: Ranking, call: str) -> None:
    assert_same(answers.ranked(call), plain, top_n=2)


def test_hosted_vllm_forwards_the_instruction(answers: Answers, service: LiveService) -> None:
    wanted = service.ranking(instruction="Prefer passages about bread.")
    assert_same(answers.ranked("hosted_vllm instruction"), wanted)


def test_long_documents_are_cut_save_through_huggingface(answers: Answers) -> None:
    assert len(answers.ranked("hosted_vllm long")) == 2
    assert_error(answers, "huggingface long", "APIError", "Document 1 has more than the ", 422)


def test_voyage_needs_top_n(answers: Answers) -> None:
    assert_error(answers, "voyage without top_n", "APIConnectionError", "No results found", 500)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_errors_are_litellms_own(answers: Answers, provider: str) -> None:
    assert_error(answers, f"{provider} wrong_key", "AuthenticationError", "A valid key is needed", 401)
    tei = provider == "huggingface"  # its statuses and its body carry no type that litellm would know
    kind, status = ("APIError", 422) if tei else ("BadRequestError", 400)
    field = "query.text" if provider == "nvidia_nim" else "query"
    assert_error(answers, f"{provider} blank_query", kind, f"{field} must not be empty", status)
    assert_error(answers, f"{provider} too_many", kind, "more than the limit of 50", 413)


def test_a_rate_limit_is_litellms_own_error(answers: Answers) -> None:
    assert_error(answers, "hosted_vllm rate_limited", "RateLimitError", "documents per minute", 429)


def test_snippet_of_the_page(answers: Answers, plain: Ranking) -> None:
    assert_snippets(answers, plain, 2)
