"""The engine's parts that need no weights: turns, deadlines, caches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contract.reasoning import Status
from service.engine import Prompt
from service.engines.causal.requests import Request
from service.engines.causal.speed import Pace
from service.engines.submission import Submission
from service.engines.transformers.deadlines import requests_to_hurry
from service.engines.transformers.kv_cache import CacheShape, DecodeCache, KVCache
from service.engines.transformers.prefix_cache import PrefixCache
from service.engines.transformers.waiting import WaitingRequests

SHAPE = CacheShape(layers=2, heads=3, head_dim=4, dtype=torch.float32)


def request(call: str, tokens: int = 10, budget: int = 0, deadline: float | None = None) -> Request:
    """A request outside any event loop: nobody waits for its completion."""
    submission = Submission.__new__(Submission)
    prompt = Prompt(call, prefix=(1,), rest=[7] * tokens, budget=budget, deadline=deadline)
    return Request(submission, 0, prompt, (1,), prompt.rest, (), budget)


def order(waiting: WaitingRequests) -> str:
    return "".join(each.prompt.call for each in waiting)


def test_requests_wait_in_the_order_in_which_they_were_handed_over() -> None:
    waiting = WaitingRequests()
    waiting.add([request("b", 5), request("a", 3)])
    waiting.add([request("c", 1)])
    assert order(waiting) == "bac"


def test_what_takes_several_batches_goes_behind_and_what_is_hurried_before_the_others() -> None:
    waiting = WaitingRequests()
    made = [request(call) for call in "abcd"]
    waiting.add(made)
    waiting.put_behind(made[:2])
    assert order(waiting) == "cdab"
    waiting.hurry(made[0])
    assert order(waiting) == "acdb"
    waiting.put_behind(made[:1])
    assert order(waiting) == "acdb", "a hurried one stays before those that are not"
    waiting.remove(made[0])
    waiting.remove(made[3])
    assert order(waiting) == "cb"
    waiting.put_behind(made)
    assert order(waiting) == "bc"


def test_a_request_that_may_not_start_is_passed_over() -> None:
    waiting = WaitingRequests()
    waiting.add([request("a", tokens=5), request("a", tokens=9), request("b")])
    following = waiting.next(lambda item: item.left > 5)
    assert following is not None
    assert (following.prompt.call, following.left) == ("a", 9)
    assert waiting.next(lambda item: False) is None


def test_discarding_a_submission_leaves_others_of_the_same_call() -> None:
    waiting = WaitingRequests()
    gone, kept = request("a"), request("a")
    waiting.add([gone, kept])
    assert waiting.discard(gone.submission) == [gone]
    assert list(waiting) == [kept]


@pytest.mark.parametrize(
    ("now", "hurried"),
    [(8.9, []), (9.0, ["first"]), (9.9, ["first"]), (10.0, ["first", "second", "third"])],
)
def test_documents_hurry_when_their_direct_verdicts_would_just_be_in_time(now: float, hurried: list[str]) -> None:
    """Each takes a second; those that are due later wait for those before them."""
    first, second = request("first", 100, budget=9, deadline=10.0), request("second", 100, budget=9, deadline=12.5)
    third = request("third", 100, budget=9, deadline=13.0)
    others = [request("without deadline", 100, budget=9), request("direct", 100, deadline=1.0)]
    documents = [second, *others, first, third]
    chosen = requests_to_hurry(documents, now, token_seconds=0.01, missing=lambda _: 0)
    assert sorted(item.prompt.call for item in chosen) == hurried


@pytest.mark.parametrize(("now", "hurried"), [(6.9, 0), (7.0, 2)])
def test_documents_hurry_in_time_for_what_their_prefix_still_needs(now: float, hurried: int) -> None:
    """Two documents of a second each under one prefix of which two seconds are missing, counted once."""
    documents = [request("a", 100, budget=9, deadline=11.0) for _ in range(2)]
    chosen = requests_to_hurry(documents, now, token_seconds=0.01, missing=lambda _: 200)
    assert len(chosen) == hurried


def test_what_is_missing_of_a_prefix_is_what_no_pack_has_planned() -> None:
    cache = PrefixCache(1 << 20, lambda: KVCache(SHAPE))
    ids = tuple(range(10))
    assert cache.missing(ids) == 10
    cache.get(ids).plan(4)
    assert cache.missing(ids) == 6


def test_the_pace_weighs_packs_by_their_tokens_and_fades() -> None:
    pace = Pace()
    assert (pace.token_seconds, pace.step_seconds) == (0.0, 0.0)
    pace.packed(10, 1.0)
    pace.packed(1000, 2.0)
    assert pace.token_seconds == pytest.approx(2.7 / 1007)
    for _ in range(20):
        pace.packed(10, 0.05)  # what a step takes, on a device that computes a thousand tokens in about as long
    assert pace.token_seconds == pytest.approx(2.7 / 1007)
    pace.packed(10, 0.001)
    assert pace.token_seconds < 2.7 / 1007
    pace = Pace()
    pace.packed(10, 0.05)
    assert pace.token_seconds == pytest.approx(0.005), "better than nothing"
    pace = Pace()
    pace.packed(10, 1.0)
    pace.packed(1000, 2.0)
    for seconds in (5.0, *[0.1] * 40):
        pace.stepped(seconds)
    assert pace.step_seconds == pytest.approx(0.1, rel=0.01)


def test_prefixes_are_given_up_oldest_first() -> None:
    per_prefix = 128 * SHAPE.bytes_per_token
    cache = PrefixCache(2 * per_prefix, lambda: KVCache(SHAPE))
    for ids in ((1,), (2,), (3,)):
        cache.get(ids).cache.reserve(1)
        if ids == (2,):
            cache.get((1,))
    cache.trim()
    assert cache.size == 2 * per_prefix
    before = len(cache)
    cache.get((1,))
    cache.get((3,))
    assert len(cache) == before, "the first was used after the second, so it was kept"


def test_prefixes_without_tokens_are_bounded_too() -> None:
    cache = PrefixCache(1, lambda: KVCache(SHAPE))
    for number in range(1200):
        cache.get((number,))
        cache.trim()
    assert len(cache) <= 1024


def test_growing_keeps_what_is_cached_and_a_copy_stands_alone() -> None:
    cache = KVCache(SHAPE)
    cache.reserve(3)
    cache.keys[:, :, :, :3], cache.values[:, :, :, :3] = 1.0, 2.0
    cache.length = 3
    copied = cache.copy(2)
    cache.reserve(500)
    assert cache.keys[:, :, :, :3].eq(1.0).all()
    assert cache.values[:, :, :, :3].eq(2.0).all()
    cache.keys[:] = 9.0
    assert copied.keys[:, :, :, :3].eq(1.0).all()
    assert copied.capacity == 5


def test_a_prefix_that_was_computed_twice_for_a_request_is_not_cached_and_not_less() -> None:
    twice = request("call")
    assert twice.completion((0.5, 0.0)).cached_tokens == 1
    twice.prefix_computed = 2
    assert twice.completion((0.5, 0.0)).cached_tokens == 0


def test_a_request_that_was_given_up_for_its_deadline_says_so_and_is_urgent() -> None:
    late = request("call", budget=9)
    assert late.priority == 1
    late.end_before_reasoning(Status.DEADLINE)
    assert (late.budget, late.priority) == (0, 0)
    completion = late.completion((0.5, 0.0))
    assert (completion.status, completion.reasoning) == (Status.DEADLINE, "")


def test_one_long_row_does_not_widen_rows_that_are_not_in_use() -> None:
    slots = DecodeCache(SHAPE)
    for _ in range(60):
        slots.lengths[slots.add(100)] = 1
    while slots.count > 12:
        slots.drop(0)
    needed = slots.size_with(1, 1500)
    slots.add(1500)
    held = slots.keys.shape[1] * slots.keys.shape[3] * SHAPE.bytes_per_token
    assert held == needed


@given(st.lists(st.integers(1, 900), min_size=1, max_size=60), st.data())
def test_no_more_is_held_than_may_be_where_that_suffices(tokens: list[int], data: st.DataObject) -> None:
    most = 20 * 128 * SHAPE.bytes_per_token
    slots = DecodeCache(SHAPE, most)
    for one in tokens:
        if slots.count and data.draw(st.booleans()):
            slots.drop(data.draw(st.integers(0, slots.count - 1)))
        if slots.count and slots.size_with(1, one) > most:
            continue
        slots.add(one)
        held = slots.keys.shape[1] * slots.keys.shape[3] * SHAPE.bytes_per_token
        assert held <= most or slots.count == 1
        assert slots.keys.shape[1] >= slots.count


def test_the_last_row_takes_the_place_of_one_that_leaves() -> None:
    slots = DecodeCache(SHAPE)
    for row in range(20):
        assert slots.add(5) == row
        slots.keys[:, row, :, :5] = float(row)
        slots.lengths[row] = 5
    slots.add(300)  # wider rows: what the others hold stays
    slots.drop(20)
    slots.drop(3)
    assert slots.count == 19
    assert slots.keys[:, 3, :, :5].eq(19.0).all()
    assert slots.keys[:, 18, :, :5].eq(18.0).all()
    for _ in range(19):
        slots.drop(0)
    assert slots.keys.numel() == 0
