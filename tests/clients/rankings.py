"""What client tests assert again and again."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from tests.clients.client_runs import Answers

Ranking = Sequence[tuple[int, float]]


def assert_same(found: Ranking, plain: Ranking, top_n: int | None = None) -> None:
    """The same documents in the same order with the same relevance, and exactly `top_n` of them."""
    wanted = plain if top_n is None else plain[:top_n]
    assert [index for index, _ in found] == [index for index, _ in wanted]
    assert [score for _, score in found] == pytest.approx([score for _, score in wanted], abs=1e-4)


def log_odds(plain: Ranking) -> list[tuple[int, float]]:
    """The ranking with each relevance as the log-odds it came from."""
    return [(index, math.log(score / (1 - score))) for index, score in plain]


def assert_error(answers: Answers, name: str, kind: str, sentence: str, status: int | None = None) -> None:
    """The client raised its own `kind`, and its text carries `sentence`; `status` where the client tells it."""
    error = answers.error(name)
    assert error["type"] == kind, error
    assert sentence in error["text"], error
    assert error["status"] == status, error


def assert_snippets(answers: Answers, plain: Ranking, *sizes: int) -> None:
    """The page's programs printed, one after the other, the best `sizes` documents as `index score` lines."""
    printed = [(int(index), float(score)) for index, score in (line.split()[:2] for line in answers.printed)]
    assert len(printed) == sum(sizes)
    for size in sizes:
        assert [index for index, _ in printed[:size]] == [index for index, _ in plain[:size]]
        assert [score for _, score in printed[:size]] == pytest.approx([score for _, score in plain[:size]], abs=1e-3)
        printed = printed[size:]
