"""The parts in front of vLLM, without vLLM: what is given up for a deadline, whose turn it is, and who stands still."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

import pytest
from service.engines.causal.sequences import Document, Submission

from contract.segments import Segments
from contract.verdict import Temperatures
from service.engine import Status
from service.engines.vllm.deadlines import due
from service.engines.vllm.fairness import CallShares
from service.engines.vllm.flight import Flight
from service.engines.vllm.requests import Asked, Words, Written
from service.engines.vllm.scheduler import SchedulerLimits, VllmScheduler
from service.engines.vllm.trace import TraceReader
from service.engines.vllm.watch import ProgressWatch
from service.errors import EngineDead, EngineFailed


class Recorder:
    """Requests that end when they are told to, in the order in which they came."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.aborted: set[str] = set()
        self.any_aborted = asyncio.Event()
        self.hold = asyncio.Event()
        self.fails: set[int] = set()
        self.writes: Written | None = None

    async def words(self, asked: Asked, ids: Sequence[int]) -> Words | None:
        self.asked.append(asked)
        await self.hold.wait()
        if ids[0] in self.fails:
            raise ValueError("not this one")
        return None if asked.name in self.aborted else Words(-1.0, -2.0, 0)

    async def trace(self, asked: Asked, prompt: Sequence[int], budget: int) -> AsyncGenerator[Written]:
        self.asked.append(asked)
        if self.writes is not None:
            yield self.writes
            return
        yield Written([7], 0)
        await self.any_aborted.wait()
        yield Written([7, 8], 0)

    async def abort(self, names: Sequence[str]) -> None:
        self.aborted.update(names)
        self.any_aborted.set()


def documents(
    call: str, count: int, *, first: int = 0, priority: int = 1, budget: int = 0, deadline: float | None = None
) -> tuple[Submission, list[Document]]:
    submission = Submission(count)
    made = [
        Document(
            *(submission, n, call, priority, (first + n,), (1,) * 10, budget),
            truncated=False,
            deadline=deadline,
            arrived=0.0,
        )
        for n in range(count)
    ]
    return submission, made


def scheduler(
    requests: Recorder, segments: Segments, tokens: int, clock: Callable[[], float] = time.monotonic
) -> VllmScheduler:
    limits = SchedulerLimits(tokens, tokens // 4, 16, 1)
    return VllmScheduler(requests, segments, TraceReader(segments, ()), limits, Temperatures(), clock)


async def verdicts(submission: Submission) -> list[int]:
    return [verdict.index async for verdict in submission.verdicts()]


async def test_a_call_that_comes_later_waits_for_some_steps_only(segments: Segments) -> None:
    requests = Recorder()
    feeding = scheduler(requests, segments, tokens=60)
    large, many = documents("large", 300)
    small, few = documents("small", 3, first=1000)
    feeding.add(many)
    feeding.add(few)
    await asyncio.sleep(0)
    assert len(requests.asked) < 10, "vLLM was given more than the tokens that it is to have ahead"
    requests.hold.set()
    assert sorted(await verdicts(small)) == [0, 1, 2]
    assert len(requests.asked) < 303, "the later call was served last"
    assert len(await verdicts(large)) == 300


async def test_a_new_call_goes_ahead_of_one_that_had_its_first_turn(segments: Segments) -> None:
    requests = Recorder()
    requests.hold.set()
    feeding = scheduler(requests, segments, tokens=60, clock=lambda: 1.0)
    begun, first = documents("large", 200)
    _, others = documents("large", 400, first=200)
    feeding.add([*first, *others])
    await verdicts(begun)
    small, few = documents("small", 20, first=1000)
    before = len(requests.asked)
    feeding.add(few)
    await verdicts(small)
    # Some were with vLLM already, and one goes whenever vLLM has little to compute.
    assert len(requests.asked) - before < 20 + 20


async def test_nobody_goes_behind_for_ever_or_behind_a_lower_class(segments: Segments) -> None:
    shares = CallShares(100)
    _, (old, *_) = documents("old", 1)
    _, (new, *_) = documents("new", 1, priority=2)
    shares.added([old, new])
    shares.departed(old, 101)
    first = shares.first_of_the_new
    assert first == 2
    assert not shares.goes_behind(old, first, 1.0), "it is of a better class"
    assert shares.goes_behind(old, 1, 9.9)
    assert not shares.goes_behind(old, 1, 10.0)
    assert not shares.goes_behind(new, first, 1.0)
    shares.dropped([new])
    assert not shares.goes_behind(old, shares.first_of_the_new, 1.0)


async def test_what_stands_behind_a_close_is_the_verdict(segments: Segments) -> None:
    requests = Recorder()
    written = [*segments.trace_ids("It does."), *segments.close]
    odds = [(-9.0, -9.0)] * len(written) + [(-1.0, -3.0), (-9.0, -9.0)]
    requests.writes = Written([*written, 5, 6], 0, odds)
    submission, made = documents("call", 1, budget=100)
    scheduler(requests, segments, tokens=60).add(made)
    (verdict,) = [each async for each in submission.verdicts()]
    assert (verdict.log_odds, verdict.status, verdict.trace) == (2.0, Status.COMPLETE, "It does.")
    assert len(requests.asked) == 1


@pytest.mark.parametrize("text", ["It does.</think>", "It does"])
async def test_what_is_not_there_yet_is_asked_for(segments: Segments, text: str) -> None:
    """The budget ended the trace with its close, or before it."""
    requests = Recorder()
    requests.hold.set()
    written = segments.tokenizer.encode(text, add_special_tokens=False).ids
    requests.writes = Written(written, 0, [(-9.0, -1.0)] * len(written))
    submission, made = documents("call", 1, budget=100)
    scheduler(requests, segments, tokens=60).add(made)
    (verdict,) = [each async for each in submission.verdicts()]
    assert verdict.log_odds == 1.0
    assert [asked.name for asked in requests.asked] == ["0-trace", "0-verdict"]


def test_a_model_that_wrote_on_behind_its_close_is_noticed(segments: Segments) -> None:
    reader = TraceReader(segments, ())
    trace = segments.trace_ids("It names the cure.")
    closed = [*trace, *segments.close]
    assert not reader.answered(closed, 0)
    assert reader.answered([*closed, 5], 0)
    assert reader.answered([*closed, 5], len(closed)), "the close was all of the news before"
    assert not reader.answered([*trace, *trace], 3)


async def test_a_job_that_is_cancelled_is_aborted_until_it_is_gone(segments: Segments) -> None:
    requests = Recorder()
    feeding = scheduler(requests, segments, tokens=60)
    submission, made = documents("call", 40, budget=100)
    feeding.add(made)
    await asyncio.sleep(0.01)
    running = feeding.unfinished
    assert running > 0
    feeding.cancel(submission)
    await asyncio.sleep(0.1)
    assert feeding.unfinished == 0
    assert len(requests.asked) == running, "documents of a cancelled job were submitted"


async def test_one_request_that_fails_fails_its_document_alone(
    segments: Segments, caplog: pytest.LogCaptureFixture
) -> None:
    requests = Recorder()
    requests.fails = {1}
    requests.hold.set()
    submission, made = documents("call", 3)
    scheduler(requests, segments, tokens=60).add(made)
    with pytest.raises(EngineFailed, match="not this one") as failed:
        await verdicts(submission)
    assert failed.value.indices == (1,)
    assert "request_failed" in caplog.text


async def test_what_is_left_ends_when_the_engine_is_closed(segments: Segments) -> None:
    requests = Recorder()
    feeding = scheduler(requests, segments, tokens=60)
    submission, made = documents("call", 40)
    feeding.add(made)
    await asyncio.sleep(0)
    feeding.die(EngineDead("closed"))
    with pytest.raises(EngineDead):
        await verdicts(submission)


def flights(made: Iterable[Document], *, begun: bool) -> list[Flight]:
    return [Flight(each, str(each.index), 0 if begun else 13, None, begun=begun) for each in made]


async def test_traces_are_closed_when_all_verdicts_would_just_be_in_time() -> None:
    _, made = documents("call", 10, budget=50, deadline=100.0)
    _, waiting = documents("call", 5, budget=50, deadline=100.0)
    begun = flights(made, begun=True)
    # 10 x 20 + 5 x (10 + 20) tokens at 0.01 s each are 3.5 s.
    assert due(begun, waiting, 96.4, 0.01, 20).flights == []
    late = due(begun, waiting, 96.6, 0.01, 20)
    assert (late.flights, late.documents) == (begun, waiting)


async def test_a_later_deadline_is_not_given_up_for_an_earlier_one() -> None:
    _, soon = documents("soon", 4, budget=50, deadline=100.0)
    _, later = documents("later", 4, budget=50, deadline=200.0)
    late = due(flights([*soon, *later], begun=True), [], 99.9, 0.01, 20)
    assert [flight.document.deadline for flight in late.flights] == [100.0] * 4


def test_an_engine_without_work_never_stands_still() -> None:
    now = [0.0]
    watch = ProgressWatch(5.0, lambda: "the same", clock=lambda: now[0])
    assert watch.fault(0) is None
    now[0] = 100.0
    assert watch.fault(0) is None
    assert watch.fault(2) is None
    now[0] = 104.0
    assert watch.fault(2) is None
    now[0] = 106.0
    assert "holds 2 requests and has computed nothing for 6 s" in (watch.fault(2) or "")


def test_a_loop_is_cut_where_it_was_complete(segments: Segments) -> None:
    written = [*range(100, 120), *[5, 6] * 60]
    reader = TraceReader(segments, (2,))
    at = reader.looped_at(written, 0)
    assert at is not None
    assert 20 + 48 <= at < 20 + 54
    assert reader.looped_at(list(range(100, 200)), 0) is None
    ended = reader.read([101, 102, 2], None)
    assert (ended.status, ended.tokens) == (Status.END_OF_TEXT, 2)
