"""The service as a scorer, over real HTTP: what is sent, what is read, and what happens when it ends."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluation.benchmarks.task import Query
from evaluation.errors import ScorerFailed
from evaluation.scorers.http import LARGEST_LOG_ODDS, HttpScorer, ServiceOptions, log_odds
from tests.ports import free_port
from tests.processes import ServerProcess, server

QUERY = Query(id="q", text="how is green tea steeped")
PASSAGES = [("a", "green tea is steeped"), ("b", "bread"), ("c", "green tea is how it is steeped")]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The real app around an engine whose log-odds are the words shared, less one."""
    folder = tmp_path_factory.mktemp("service")
    with server("tests.service.scripted_server", free_port(), folder, "--drain-delay", "0") as running:
        yield running


def test_scores_are_the_log_odds_in_the_order_of_the_passages(service: ServerProcess) -> None:
    scorer = HttpScorer(service.url, ServiceOptions())
    found = scorer.score(QUERY, PASSAGES)
    assert [one.score for one in found] == pytest.approx([3.0, -1.0, 4.0])
    assert {one.trace for one in found} == {None}
    scorer.close()


def test_reasoning_brings_traces_and_their_ends(service: ServerProcess) -> None:
    scorer = HttpScorer(service.url, ServiceOptions(mode="reasoning", max_reasoning_tokens=16))
    found = scorer.score(QUERY, PASSAGES)
    assert {(one.trace, one.status) for one in found} == {("It answers the question.", "complete")}
    identity = scorer.identity()
    assert (identity["mode"], identity["max_reasoning_tokens"]) == ("reasoning", 16)
    scorer.close()


def identity(service: ServerProcess, *, weights: str | None = None, **options: Any) -> dict[str, Any]:
    scorer = HttpScorer(service.url, ServiceOptions(**options), weights=weights)
    scorer.close()
    return dict(scorer.identity())


def test_the_identity_names_what_the_service_says_of_itself(service: ServerProcess) -> None:
    info = service.get("/info").json()
    told = ("revision", "fingerprint", "temperature", "data_sha256")  # but for the first, what a manifest holds
    assert identity(service) == {name: info["model"].get(name) for name in told} | {
        "kind": "service",
        "model": info["model"]["name"],
        "weights": None,
        "engine": info["engine"]["name"],
        "dtype": info["engine"]["dtype"],
        "mode": "direct",
        "max_tokens_per_doc": info["limits"]["max_tokens_per_doc"],
    }


def test_the_identity_changes_with_each_option_that_changes_scores_and_with_no_other(service: ServerProcess) -> None:
    plain, reasoning = identity(service), identity(service, mode="reasoning")
    assert identity(service, weights="abc") == plain | {"weights": "abc"}
    assert identity(service, max_tokens_per_doc=64) == plain | {"max_tokens_per_doc": 64}
    assert (plain["mode"], reasoning["mode"]) == ("direct", "reasoning")
    assert identity(service, mode="reasoning", max_reasoning_tokens=7) == reasoning | {"max_reasoning_tokens": 7}
    assert identity(service, max_reasoning_tokens=7) == plain  # direct mode has no trace
    assert identity(service, concurrency=7, timeout_seconds=5.0, key="unused") == plain


def test_an_answer_that_is_no_ranking_is_a_sentence(service: ServerProcess) -> None:
    scorer = HttpScorer(service.url, ServiceOptions())
    with pytest.raises(ScorerFailed, match=r"answered 400: .*query"):
        scorer.score(Query(id="q", text="  "), PASSAGES)
    scorer.close()


def test_no_service_is_a_sentence() -> None:
    with pytest.raises(ScorerFailed, match="There is no service at"):
        HttpScorer(f"http://127.0.0.1:{free_port()}", ServiceOptions())


def test_a_key_is_sent_and_its_lack_named(tmp_path: Path) -> None:
    (tmp_path / "keys.toml").write_text('[[keys]]\nname = "eval"\nsecret = "a-long-random-string-for-tests"\n')
    arguments = ("--keys-file", str(tmp_path / "keys.toml"), "--drain-delay", "0")
    with server("tests.service.scripted_server", free_port(), tmp_path, *arguments) as running:
        with pytest.raises(ScorerFailed, match="--key-variable"):
            HttpScorer(running.url, ServiceOptions())
        scorer = HttpScorer(running.url, ServiceOptions(key="a-long-random-string-for-tests"))
        assert len(scorer.score(QUERY, PASSAGES)) == 3
        running.stop()
        with pytest.raises(ScorerFailed, match="stopped answering"):
            scorer.score(QUERY, PASSAGES)
        scorer.close()


@pytest.mark.parametrize("odds", [0.0, 3.25, -3.25, 20.0, -20.0, 30.0, -300.0])
def test_log_odds_come_back_from_relevance(odds: float) -> None:
    relevance = 1 / (1 + math.exp(-odds)) if odds > -40 else math.exp(odds)
    assert log_odds(relevance) == pytest.approx(odds, abs=0.01 if odds > 25 else 1e-6)


def test_log_odds_of_certainty_are_finite_and_in_order() -> None:
    assert log_odds(1.0) == LARGEST_LOG_ODDS > log_odds(1.0 - 2**-50)
    assert log_odds(0.0) <= log_odds(5e-324) < log_odds(1e-300)
