from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BodyTooLarge, TooManyRequests
from service.ranking import ANONYMOUS, Key
from service.scheduling.rate_limit import RateLimiter
from tests.service.wire.server import open_service


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def refused(limiter: RateLimiter, key: Key, documents: int) -> float:
    """How long the key has to wait."""
    with pytest.raises(TooManyRequests) as caught:
        limiter.take(key, documents)
    assert caught.value.retry_after is not None
    assert key.name in str(caught.value)
    return caught.value.retry_after


def wait_told(limiter: RateLimiter, key: Key, documents: int) -> float | None:
    """None when the documents were taken."""
    try:
        limiter.take(key, documents)
    except TooManyRequests as error:
        return error.retry_after
    return None


def test_a_minute_s_documents_at_once_and_then_steadily() -> None:
    clock, key = Clock(), Key("a", documents_per_minute=60)
    limiter = RateLimiter(clock)
    limiter.take(key, 50)
    limiter.take(key, 10)
    assert refused(limiter, key, 1) == pytest.approx(1.0)
    clock.now += 5
    limiter.take(key, 5)
    assert refused(limiter, key, 30) == pytest.approx(30.0)
    clock.now += 10_000
    limiter.take(key, 60)
    assert refused(limiter, key, 60) == pytest.approx(60.0)


def test_a_refused_call_spends_nothing() -> None:
    clock, key = Clock(), Key("a", documents_per_minute=10)
    limiter = RateLimiter(clock)
    limiter.take(key, 6)
    for _ in range(100):
        assert refused(limiter, key, 5) == pytest.approx(6.0)
    limiter.take(key, 4)


def test_a_call_larger_than_a_minute_s_documents_is_told_so_and_never_to_wait() -> None:
    limiter, key = RateLimiter(Clock()), Key("a", documents_per_minute=10)
    with pytest.raises(
        BodyTooLarge, match=r"11 documents, but the key 'a' may send 10 per minute.*at most 10"
    ) as caught:
        limiter.take(key, 11)
    assert caught.value.status == 413
    assert caught.value.retry_after is None
    limiter.take(key, 10)


def test_keys_do_not_share_and_some_have_no_limit() -> None:
    limiter = RateLimiter(Clock())
    limiter.take(Key("a", documents_per_minute=10), 10)
    limiter.take(Key("b", documents_per_minute=10), 10)
    limiter.take(ANONYMOUS, 10**9)
    refused(limiter, Key("a", documents_per_minute=10), 1)


def test_what_the_server_refused_is_given_back() -> None:
    limiter, key = RateLimiter(Clock()), Key("a", documents_per_minute=10)
    limiter.take(key, 10)
    limiter.give_back(key, 10)
    limiter.take(key, 10)
    limiter.give_back(key, 10**6)
    limiter.take(key, 10)
    refused(limiter, key, 1)
    limiter.give_back(ANONYMOUS, 5)


def test_a_limit_changed_in_the_key_file_holds_at_once() -> None:
    limiter = RateLimiter(Clock())
    limiter.take(Key("a", documents_per_minute=1000), 10)
    refused_after = Key("a", documents_per_minute=5)
    limiter.take(refused_after, 5)
    assert refused(limiter, refused_after, 1) == pytest.approx(12.0)


def test_without_keys_all_callers_share_the_limit_of_the_server() -> None:
    with open_service(documents_per_minute=3) as url, httpx.Client(base_url=url) as client:

        def answer(documents: int) -> httpx.Response:
            return client.post("/rerank", json={"query": "q", "documents": ["a"] * documents})

        assert answer(2).status_code == 200
        refused = answer(2)
        assert refused.status_code == 429
        assert 15 <= int(refused.headers["retry-after"]) <= 20
        assert (
            "Of the 3 documents per minute that all callers together may send, 1 are left" in refused.json()["message"]
        )
        assert answer(4).status_code == 413
        assert answer(1).status_code == 200
        assert client.get("/info").status_code == client.get("/health/ready").status_code == 200


@given(
    limit=st.integers(1, 100_000),
    calls=st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), min_size=1, max_size=20),
)
def test_waiting_exactly_as_told_is_enough_and_the_limit_holds(limit: int, calls: list[tuple[float, float]]) -> None:
    clock, key = Clock(), Key("a", documents_per_minute=limit)
    limiter = RateLimiter(clock)
    taken = 0
    begun = clock.now
    for pause, share in calls:
        clock.now += pause
        documents = max(1, round(share * limit))
        wait = wait_told(limiter, key, documents)
        if wait:
            assert 0 < wait <= 60.0001
            clock.now += wait
            limiter.take(key, documents)
        taken += documents
        assert taken <= limit + (clock.now - begun) * limit / 60 + 0.01
