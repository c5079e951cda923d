"""Long prefixes that together exceed the prefix cache: each is computed once, and short calls get in between."""

from __future__ import annotations

import pytest
import torch
from service.engines.causal.queue import DocumentQueue
from service.engines.causal.sequences import Document, Submission

from service.engines.transformers.attention import PackPlan
from service.engines.transformers.engine import EngineOptions
from service.engines.transformers.kv_cache import CacheShape, KeyValues, TraceSlots
from service.engines.transformers.prefix_cache import PrefixCache
from service.engines.transformers.scheduler import BatchLimits, Pack, PackPlanner

SHAPE = CacheShape(layers=1, heads=1, head_dim=1, dtype=torch.float32)
CACHE_TOKENS = 5825  # of a SmolLM2-135M in 256 MiB
PASSAGE_TOKENS = 200
CLOSE = (1, 2, 3)
OPTIONS = EngineOptions()


class Work:
    """The default engine's queue, planner and cache; passes are laid out as the model does, and not computed."""

    def __init__(self, cache_tokens: int = CACHE_TOKENS, trace_rows: int = OPTIONS.traces) -> None:
        self.queue = DocumentQueue(OPTIONS.turn_tokens, clock=lambda: 0.0)
        self.slots = TraceSlots(SHAPE)
        self.cache = PrefixCache(cache_tokens * SHAPE.bytes_per_token, lambda: KeyValues(SHAPE))
        limits = BatchLimits(OPTIONS.batch_tokens, trace_rows, OPTIONS.trace_bytes)
        self.planner = PackPlanner(self.queue, self.cache, self.slots, CLOSE, limits)
        self.tokens = 0
        self.ideal = 0
        self.ended: list[str] = []

    def add(self, call: str, prefix_tokens: int, count: int, priority: int = 1, budget: int = 0) -> None:
        """A job of `count` passages whose prefix is no other call's."""
        prefix = (len(call), *call.encode(), *[5] * prefix_tokens)[:prefix_tokens]
        self.queue.add(
            Document(
                submission=Submission.__new__(Submission),
                index=index,
                call=call,
                priority=priority,
                prefix=prefix,
                rest=[7] * PASSAGE_TOKENS,
                budget=budget,
                truncated=False,
                deadline=None,
                arrived=0.0,
            )
            for index in range(count)
        )
        self.ideal += prefix_tokens + count * (PASSAGE_TOKENS + len(CLOSE))

    def run(self) -> Pack | None:
        pack = self.planner.plan()
        if pack is not None:
            PackPlan(pack.segments, self.slots, SHAPE.dtype)
            self.tokens += pack.tokens
            self.ended += [ending.document.call for ending in pack.endings]
        return pack

    def finish(self) -> None:
        """Run all packs; stop where more than twice the tokens needed were computed."""
        while self.queue and self.tokens <= 2 * self.ideal:
            assert self.run() is not None, "documents wait and none may run"


@pytest.mark.parametrize(
    ("calls", "prefix_tokens", "count"),
    [(3, 2400, 2), (3, 3000, 2), (2, 5000, 2), (2, 6000, 2), (3, 8000, 2), (4, 1500, 8), (8, 1000, 8), (12, 700, 8)],
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_prefixes_are_computed_once(calls: int, prefix_tokens: int, count: int, jobs: int) -> None:
    work = Work()
    for _ in range(jobs):
        for call in range(calls):
            work.add(f"call {call}", prefix_tokens, count // jobs)
    work.ideal -= (jobs - 1) * calls * prefix_tokens
    work.finish()
    assert len(work.ended) == calls * count
    assert work.tokens <= 1.1 * work.ideal


def test_calls_of_many_lengths_end_together() -> None:
    work = Work()
    for tokens, calls in ((2400, 3), (6000, 2), (1000, 8), (60, 8)):
        for number in range(calls):
            work.add(f"{tokens} {number}", tokens, 2)
    work.finish()
    assert len(work.ended) == 2 * 21
    assert work.tokens <= 1.1 * work.ideal


@pytest.mark.parametrize("long_tokens", [4000, 6000])
def test_a_short_call_waits_for_a_turn_of_each_call_before_it_and_not_for_their_prefixes(long_tokens: int) -> None:
    work = Work()
    calls = ("long", "other", "third")
    for call in calls:
        work.add(call, long_tokens, 2)
    work.run()
    work.add("short", 100, 2)
    while work.ended.count("short") < 2:
        work.run()
    assert work.tokens <= len(calls) * OPTIONS.turn_tokens + OPTIONS.batch_tokens < len(calls) * long_tokens
    work.finish()
    assert work.tokens <= 1.1 * work.ideal


def test_an_urgent_call_that_fits_begins_beside_a_prefix_in_progress() -> None:
    work = Work()
    work.add("usual", 3000, 2)
    work.run()
    work.add("urgent", 2000, 2, priority=0)
    work.finish()
    assert work.ended == ["urgent", "urgent", "usual", "usual"]
    assert work.tokens == work.ideal


def test_what_is_held_exceeds_the_limit_by_one_prefix_at_most() -> None:
    work = Work()
    for call in ("a", "b", "c", "d"):
        work.add(call, 6000, 4)
    most = 0
    while work.queue:
        work.run()
        most = max(most, work.cache.size // SHAPE.bytes_per_token)
    assert most <= CACHE_TOKENS + 6000


def test_a_call_that_has_used_its_prefix_well_makes_way() -> None:
    """A call of very many documents must not keep another waiting to its end; the cost of that stays small."""
    work = Work()
    work.add("many", 3000, 400)
    work.run()
    work.add("few", 3500, 2)
    work.finish()
    before = work.ended.index("few")
    assert before * PASSAGE_TOKENS < 6 * 3000
    assert work.tokens <= 1.1 * work.ideal


def test_a_prefix_that_is_begun_is_completed_though_no_trace_may_start() -> None:
    work = Work(trace_rows=1)
    work.add("traced", 3000, 1, budget=8)
    work.run()
    work.add("first", 50, 1, priority=0, budget=8)
    work.add("direct", 4000, 1)
    while (pack := work.run()) is not None:
        assert pack.segments
    assert work.ended == ["first", "direct"], "one trace is being written, and the direct call need not wait for it"
    work.slots.drop(0)
    work.finish()
    assert sorted(work.ended) == ["direct", "first", "traced"]


def test_a_discarded_job_frees_its_place() -> None:
    work = Work()
    work.add("gone", 5000, 1)
    work.run()
    (gone,) = work.queue
    work.add("next", 5000, 1)
    work.planner.discard(gone.submission)
    work.finish()
    assert work.ended == ["next"]
    assert work.cache.size < 2 * 5000 * SHAPE.bytes_per_token
