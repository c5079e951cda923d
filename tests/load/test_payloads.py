"""What callers send, and how a run is judged: without Locust."""

from __future__ import annotations

import json
import statistics

import pytest

from loadtests.payloads import Texts
from loadtests.settings import Thresholds, is_loopback
from loadtests.tally import Tally, quantiles


def test_texts_are_the_same_for_the_same_seed_alone() -> None:
    assert Texts(1, 20, 200).body(5) == Texts(1, 20, 200).body(5)
    assert Texts(1, 20, 200).body(5) != Texts(2, 20, 200).body(5)


def test_passages_are_as_long_as_a_power_law_says() -> None:
    texts = Texts(7, 20, 100_000)
    words = sorted(texts.words() for _ in range(4000))
    assert words[0] == 20
    # Pareto with exponent 1.5: half exceed 20 x 2^(2/3), one in ten 20 x 10^(2/3), one in a hundred 20 x 100^(2/3).
    assert statistics.median(words) == pytest.approx(31.7, rel=0.1)
    assert words[3600] == pytest.approx(92.8, rel=0.15)
    assert words[3960] == pytest.approx(431, rel=0.35)
    cut = Texts(7, 20, 200)
    assert max(cut.words() for _ in range(4000)) == 200


def test_a_passage_has_the_words_it_should_and_survives_json() -> None:
    body = Texts(3, 30, 30).body(10, mode="direct")
    assert json.loads(json.dumps(body)) == body
    assert len(body["documents"]) == len(set(body["documents"])) == 10
    assert {len(text.split()) for text in body["documents"]} <= {31, 32}  # thirty words after the subject


def test_quantiles_are_nearest_ranks_and_a_p99_wants_500_calls() -> None:
    times = [float(number) for number in range(1, 501)]
    assert quantiles(times) == {"calls": 500, "p50": 250.0, "p95": 475.0, "p99": 495.0}
    assert quantiles(times[:499])["p99"] is None
    assert quantiles([]) == {"calls": 0, "p50": None, "p95": None, "p99": None}


def test_thresholds() -> None:
    strict = Thresholds(failed=0, refused=0.1, p95_seconds=1)
    tally = Tally()
    assert tally.missed(strict) == ["No call was made."]
    for _ in range(10):
        tally.answered("rag", 0.5, 10)
    assert tally.missed(strict) == []
    tally.refused = 1
    assert tally.missed(strict) == []
    tally.refused = 2
    assert tally.missed(strict) == ["2 of 12 calls were refused; 10.00% may be."]
    tally.failed = 1
    tally.answered("rag", 1.5, 10)
    assert len(tally.missed(strict)) == 3
    assert tally.calls == 14


def test_calls_that_were_meant_to_fail_are_no_failures() -> None:
    tally = Tally(rejected_as_expected=3, left=2)
    assert tally.calls == 5
    assert tally.missed(Thresholds(0, 0, None)) == []


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://localhost", True),
        ("http://[::1]:8080/models", True),
        ("http://127.0.0.1.example.com", False),
        ("http://10.0.0.7", False),
        ("https://rerank.example.com", False),
        ("nonsense", False),
    ],
)
def test_loopback(url: str, here: bool) -> None:
    assert is_loopback(url) is here
