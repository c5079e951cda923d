"""Long prefixes that together exceed the prefix cache: each is computed once, and short calls get in between."""

from __future__ import annotations

import pytest
import torch

from service.engine import Prompt
from service.engines.causal.requests import Request
from service.engines.submission import Submission
from service.engines.transformers.attention import BatchPlan
from service.engines.transformers.engine import EngineOptions
from service.engines.transformers.kv_cache import CacheShape, DecodeCache, KVCache
from service.engines.transformers.prefix_cache import PrefixCache
from service.engines.transformers.scheduler import Batch, BatchLimits, Scheduler
from service.engines.transformers.waiting import WaitingRequests
from service.scheduling.calls.queued import QueuedCall
from service.scheduling.queue import TURN_TOKENS, CallQueue
from service.scheduling.room import TokenRoom

SHAPE = CacheShape(layers=1, heads=1, head_dim=1, dtype=torch.float32)
CACHE_TOKENS = 5825  # of a SmolLM2-135M in 256 MiB
PASSAGE_TOKENS = 200
CLOSE = (1, 2, 3)
OPTIONS = EngineOptions()


class Work:
    """The queue, and the default engine's scheduler and cache; passes are laid out as the model does, and not computed.

    Requests are handed over as the window does, apart from its slots.
    """

    def __init__(self, cache_tokens: int = CACHE_TOKENS, decode_rows: int = OPTIONS.generations) -> None:
        self.queue = CallQueue(clock=lambda: 0.0)
        self.waiting = WaitingRequests()
        self.decode_cache = DecodeCache(SHAPE)
        self.cache = PrefixCache(cache_tokens * SHAPE.bytes_per_token, lambda: KVCache(SHAPE))
        limits = BatchLimits(OPTIONS.batch_tokens, decode_rows, OPTIONS.decode_bytes)
        self.scheduler = Scheduler(self.waiting, self.cache, self.decode_cache, limits)
        self.places: dict[str, QueuedCall] = {}
        self.requests: dict[QueuedCall, list[Request]] = {}
        self.tokens = 0
        self.ideal = 0
        self.ended: list[str] = []

    def add(self, call: str, prefix_tokens: int, count: int, priority: int = 1, budget: int = 0) -> None:
        """A call of `count` passages whose prefix is that of no call by another name, or so many more of one."""
        prefix = (len(call), *call.encode(), *[5] * prefix_tokens)[:prefix_tokens]
        prompt = Prompt(call, prefix, [7] * PASSAGE_TOKENS, budget=budget, priority=priority)
        submission = Submission.__new__(Submission)
        place = self.places.get(call)
        if place is None:
            place = self.places[call] = self.queue.add([PASSAGE_TOKENS] * 1000, priority)
            place.pending.clear()
            self.requests[place] = []
        begin = len(self.requests[place])
        place.pending.extend(range(begin, begin + count))
        self.requests[place] += [
            Request(submission, index, prompt, prefix, prompt.rest, CLOSE, budget) for index in range(count)
        ]
        self.ideal += prefix_tokens + count * (PASSAGE_TOKENS + len(CLOSE))

    def run(self) -> Batch | None:
        self._hand_over()
        batch = self.scheduler.plan()
        if batch is not None:
            BatchPlan(batch.chunks, self.decode_cache, SHAPE.dtype)
            self.tokens += batch.tokens
            for ending in batch.endings:
                self.ended.append(ending.request.prompt.call)
        self._drop_what_is_done()
        return batch

    @property
    def unfinished(self) -> bool:
        return bool(self.queue)

    def _hand_over(self) -> None:
        behind, room = self.queue.behind(0.0), TokenRoom(2 * OPTIONS.batch_tokens, OPTIONS.batch_tokens)
        held: set[str] = set()

        def tokens(request: Request) -> int:
            return PASSAGE_TOKENS + (0 if request.prompt.call in held else len(request.prefix))

        def hold(request: Request) -> None:
            room.take(tokens(request))
            held.add(request.prompt.call)

        for request in self.waiting:
            hold(request)

        def allowed(place: QueuedCall) -> bool:
            return room.for_one(tokens(self.requests[place][place.pending[0]]), behind=behind(place))

        for place, index in self.queue.take(allowed):
            hold(self.requests[place][index])
            self.waiting.add([self.requests[place][index]])
            self.queue.charge(place, place.tokens[index])

    def _drop_what_is_done(self) -> None:
        held = {id(request) for request in self.waiting}
        for place in list(self.requests):
            if not place.pending and not any(id(request) in held for request in self.requests[place]):
                self.queue.remove(place)
                del self.requests[place]

    def finish(self) -> None:
        """Run all packs; stop where more than twice the tokens needed were computed."""
        while self.unfinished and self.tokens <= 2 * self.ideal:
            assert self.run() is not None, "requests wait and none may run"


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
    assert work.tokens <= len(calls) * TURN_TOKENS + OPTIONS.batch_tokens < len(calls) * long_tokens
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
    while work.unfinished:
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
    work = Work(decode_rows=1)
    work.add("traced", 3000, 1, budget=8)
    work.run()
    work.add("first", 50, 1, priority=0, budget=8)
    work.add("direct", 4000, 1)
    while (batch := work.run()) is not None:
        assert batch.chunks
    assert work.ended == ["first", "direct"], "one trace is being written, and the direct call need not wait for it"
    work.decode_cache.drop(0)
    work.finish()
    assert sorted(work.ended) == ["direct", "first", "traced"]


def test_a_discarded_submission_frees_its_place() -> None:
    work = Work()
    work.add("gone", 5000, 1)
    work.run()
    (gone,) = work.waiting
    work.add("next", 5000, 1)
    work.scheduler.discard(gone.submission)
    work.finish()
    assert work.ended == ["next"]
    assert work.cache.size < 2 * 5000 * SHAPE.bytes_per_token
