"""The engine's parts that need no weights: turns, deadlines, caches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from service.engines.causal.queue import DocumentQueue
from service.engines.causal.sequences import Document, Submission

from service.engine import AGEING_SECONDS, Status
from service.engines.causal.speed import Pace
from service.engines.transformers.deadlines import documents_to_hurry
from service.engines.transformers.kv_cache import CacheShape, KeyValues, TraceSlots
from service.engines.transformers.prefix_cache import PrefixCache

SHAPE = CacheShape(layers=2, heads=3, head_dim=4, dtype=torch.float32)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def document(call: str, tokens: int = 10, priority: int = 1, arrived: float = 0.0, **more: float) -> Document:
    """A document outside any event loop: nobody waits for its verdict."""
    submission = Submission.__new__(Submission)
    return Document(
        submission=submission,
        index=0,
        call=call,
        priority=priority,
        prefix=(1,),
        rest=[7] * tokens,
        budget=int(more.get("budget", 0)),
        truncated=False,
        deadline=more.get("deadline"),
        arrived=arrived,
    )


def taken(queue: DocumentQueue, count: int) -> list[str]:
    """The calls whose documents come next, each charged for its tokens."""
    calls = []
    for _ in range(count):
        following = queue.next(lambda _: True)
        assert following is not None
        queue.remove(following)
        queue.charge(following.call, following.left)
        calls.append(following.call)
    return calls


def test_calls_take_turns_that_are_worth_their_tokens() -> None:
    queue = DocumentQueue(turn_tokens=20, clock=Clock())
    queue.add([document(call) for call in "aaaaabbbc"])
    assert "".join(taken(queue, 9)) == "aabbcaaba"


def test_a_call_ends_in_its_turn_before_the_next_begins() -> None:
    queue = DocumentQueue(turn_tokens=1000, clock=Clock())
    queue.add([document(call) for call in "abcabcabc"])
    assert "".join(taken(queue, 9)) == "aaabbbccc"


def test_the_shortest_of_a_call_comes_first() -> None:
    queue = DocumentQueue(turn_tokens=1000, clock=Clock())
    queue.add([document("a", tokens) for tokens in (5, 3, 9, 1)])
    assert [item.left for item in queue] == [1, 3, 5, 9]


def test_priority_goes_first_and_waiting_raises_it() -> None:
    clock = Clock()
    queue = DocumentQueue(turn_tokens=20, clock=clock)
    queue.add([document("late", priority=2), document("usual", priority=1), document("first", priority=0)])
    assert taken(queue, 1) == ["first"]
    clock.now = 2 * AGEING_SECONDS
    queue.add([document("first", priority=0, arrived=clock.now)])
    assert taken(queue, 3) == ["late", "usual", "first"]


def test_a_document_that_may_not_start_is_passed_over() -> None:
    queue = DocumentQueue(turn_tokens=20, clock=Clock())
    queue.add([document("a", tokens=5), document("a", tokens=9), document("b")])
    following = queue.next(lambda item: item.left > 5)
    assert following is not None
    assert (following.call, following.left) == ("a", 9)
    assert queue.next(lambda item: False) is None


def test_discarding_a_job_leaves_others_of_the_same_call() -> None:
    queue = DocumentQueue(turn_tokens=20, clock=Clock())
    gone, kept = document("a"), document("a")
    queue.add([gone, kept])
    assert queue.discard(gone.submission) == [gone]
    assert list(queue) == [kept]


@pytest.mark.parametrize(
    ("now", "hurried"),
    [(8.9, []), (9.0, ["first"]), (9.9, ["first"]), (10.0, ["first", "second", "third"])],
)
def test_documents_hurry_when_their_direct_verdicts_would_just_be_in_time(now: float, hurried: list[str]) -> None:
    """Each takes a second; those that are due later wait for those before them."""
    first, second = document("first", 100, budget=9, deadline=10.0), document("second", 100, budget=9, deadline=12.5)
    third = document("third", 100, budget=9, deadline=13.0)
    others = [document("without deadline", 100, budget=9), document("direct", 100, deadline=1.0)]
    documents = [second, *others, first, third]
    chosen = documents_to_hurry(documents, now, token_seconds=0.01, missing=lambda _: 0)
    assert sorted(item.call for item in chosen) == hurried


@pytest.mark.parametrize(("now", "hurried"), [(6.9, 0), (7.0, 2)])
def test_documents_hurry_in_time_for_what_their_prefix_still_needs(now: float, hurried: int) -> None:
    """Two documents of a second each under one prefix of which two seconds are missing, counted once."""
    documents = [document("a", 100, budget=9, deadline=11.0) for _ in range(2)]
    chosen = documents_to_hurry(documents, now, token_seconds=0.01, missing=lambda _: 200)
    assert len(chosen) == hurried


def test_what_is_missing_of_a_prefix_is_what_no_pack_has_planned() -> None:
    cache = PrefixCache(1 << 20, lambda: KeyValues(SHAPE))
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
    cache = PrefixCache(2 * per_prefix, lambda: KeyValues(SHAPE))
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
    cache = PrefixCache(1, lambda: KeyValues(SHAPE))
    for number in range(1200):
        cache.get((number,))
        cache.trim()
    assert len(cache) <= 1024


def test_growing_keeps_what_is_cached_and_a_copy_stands_alone() -> None:
    cache = KeyValues(SHAPE)
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


def test_a_prefix_that_was_computed_twice_for_a_document_is_not_cached_and_not_less() -> None:
    one = document("call")
    assert one.verdict(0.5, Status.COMPLETE, None, 0).cached_tokens == 1
    one.prefix_computed = 2
    assert one.verdict(0.5, Status.COMPLETE, None, 0).cached_tokens == 0


def test_one_long_row_does_not_widen_rows_that_are_not_in_use() -> None:
    slots = TraceSlots(SHAPE)
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
    slots = TraceSlots(SHAPE, most)
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
    slots = TraceSlots(SHAPE)
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
