"""The parts in front of vLLM, without vLLM: what is given up for a deadline, whose turn it is, and who stands still."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

import pytest

from contract.reasoning import Reader, Status
from contract.segments import Segments
from service.engine import Begun, Completion, Engine, Output, PartialOutput, Prefix, Prompt, Rest, Scoring
from service.engines.causal.requests import Request, requests_of
from service.engines.submission import Submission
from service.engines.vllm.deadlines import due
from service.engines.vllm.engine import EngineInfo, VllmEngine
from service.engines.vllm.metrics import ProgressWatch
from service.engines.vllm.requests import AnswerLogprobs, Generation, RequestParams, RunningRequest
from service.engines.vllm.scheduler import VllmScheduler
from service.errors import EngineDead, EngineFailed
from service.scheduling.queue import CallQueue
from service.scheduling.throughput import Throughput
from service.scheduling.window import Window
from service.scheduling.work import Answer, Work
from tests.scripted_time import now, scripted_time
from tests.waiting import turns, until

ANSWERS = (1, 2)


class Recorder:
    """A client whose requests end when they are told to, in the order in which they came."""

    def __init__(self) -> None:
        self.asked: list[RequestParams] = []
        self.prompts: list[Sequence[int]] = []
        self.aborted: set[str] = set()
        self.any_aborted = asyncio.Event()
        self.hold = asyncio.Event()
        self.fails: set[int] = set()
        self.writes: list[Generation] = []

    async def read_answers(self, params: RequestParams, ids: Sequence[int]) -> AnswerLogprobs | None:
        self.asked.append(params)
        self.prompts.append(ids)
        await self.hold.wait()
        if ids[0] in self.fails:
            raise ValueError("not this one")
        if params.name in self.aborted:
            return None
        return AnswerLogprobs(tuple(-float(n) for n in range(1, len(params.answers) + 1)), 0)

    async def write(
        self, params: RequestParams, prompt: Sequence[int], budget: int, continued: Sequence[int]
    ) -> AsyncGenerator[Generation]:
        self.asked.append(params)
        self.prompts.append(prompt)
        for generation in self.writes:
            yield generation
        if not self.writes:
            yield Generation([7], 0)
            await self.any_aborted.wait()
            yield Generation([7, 8], 0, finished=True)

    async def abort(self, names: Sequence[str]) -> None:
        self.aborted.update(names)
        self.any_aborted.set()


def prompts(
    call: str,
    count: int,
    *,
    budget: int = 0,
    deadline: float | None = None,
    answers: tuple[int, ...] = ANSWERS,
    written: Sequence[int] = (),
    stream: bool = False,
) -> list[Prompt]:
    return [
        Prompt(call, (n,), (1,) * 10, answers, budget, written, deadline=deadline, arrived=0.0, stream=stream)
        for n in range(count)
    ]


def requests(
    segments: Segments, call: str, count: int, *, budget: int = 0, deadline: float | None = None
) -> tuple[Submission, list[Request]]:
    submission = Submission(count)
    made = prompts(call, count, budget=budget, deadline=deadline)
    return submission, requests_of(submission, made, segments.close, Reader(segments, ()))


def scheduler(client: Recorder, segments: Segments, clock: Callable[[], float] = time.monotonic) -> VllmScheduler:
    return VllmScheduler(client, segments, Reader(segments, ()), block=16, ranks=1, clock=clock)


def engine(client: Recorder, segments: Segments, step_tokens: int = 20) -> VllmEngine:
    """One that is to have three steps' worth of tokens ahead."""
    info = EngineInfo(
        version="0",
        dtype="float32",
        device="cpu",
        max_model_len=2048,
        step_tokens=step_tokens,
        max_requests=256,
        block=16,
        ranks=1,
        dead=lambda: False,
        unfinished=lambda: 0,
        shutdown=lambda: None,
    )
    return VllmEngine(client, info, segments, Reader(segments, ()), stuck_after=60.0)


def window(over: Engine, clock: Callable[[], float] = time.monotonic) -> Window:
    return Window(over, over.capabilities.window, Throughput(), clock)


def work(call: str, count: int, priority: int = 1) -> Work:
    """A call of documents of ten tokens each behind a prefix of one."""
    rests = [Rest((1,) * 10, truncated=False) for _ in range(count)]
    due_at = time.monotonic() + 600
    return Work(call, Prefix((5,), 1000), rests, ANSWERS, Scoring.DIRECT, 0, priority, due_at)


def started(running: Window, call: Work) -> asyncio.Task[Answer]:
    return asyncio.get_running_loop().create_task(running.run(call))


async def given(client: Recorder, count: int) -> None:
    """Until vLLM was given so many requests."""
    for _ in range(10_000):
        if len(client.asked) >= count:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"vLLM was given {len(client.asked)} requests only")


async def completions(submission: Submission) -> list[int]:
    return [output.index async for output in submission.outputs() if isinstance(output, Completion)]


async def outputs(client: Recorder, segments: Segments, asked: list[Prompt]) -> list[Output]:
    return [output async for output in engine(client, segments).submit(asked)]


async def completion(client: Recorder, segments: Segments, prompt: Prompt) -> Completion:
    (found,) = [each for each in await outputs(client, segments, [prompt]) if isinstance(each, Completion)]
    return found


def encoded(segments: Segments, text: str) -> list[int]:
    ids: list[int] = segments.tokenizer.encode(text, add_special_tokens=False).ids
    return ids


async def test_a_call_that_comes_later_waits_for_some_steps_only(segments: Segments) -> None:
    client = Recorder()
    running = window(engine(client, segments, step_tokens=10))
    large, small = started(running, work("large", 300)), started(running, work("small", 3))
    await turns()
    assert len(client.asked) < 10, "vLLM was given more than the tokens that it is to have ahead"
    client.hold.set()
    assert len((await small).completions) == 3
    assert len(client.asked) < 303, "the later call was served last"
    assert len((await large).completions) == 300


async def test_a_new_call_goes_ahead_of_one_that_had_its_first_turn(segments: Segments) -> None:
    client = Recorder()
    client.hold.set()
    running = window(engine(client, segments), clock=lambda: 1.0)
    large = started(running, work("large", 600))
    await given(client, 250)
    small, before = started(running, work("small", 20)), len(client.asked)
    await small
    # Some were with vLLM already, and one goes whenever vLLM has little to compute.
    assert len(client.asked) - before < 20 + 20
    assert len((await large).completions) == 600


async def test_nobody_goes_behind_for_ever_or_behind_a_lower_class() -> None:
    at = [0.0]
    queue = CallQueue(lambda: at[0], first_tokens=100, turn_tokens=1000)
    old = queue.add([101, 1], priority=1)
    queue.charge(old, 101)
    low = queue.add([1], priority=2)
    assert not queue.behind(1.0)(old), "it is of a better class"
    at[0] = 1.0
    new = queue.add([1], priority=1)
    assert queue.behind(9.9)(old)
    assert not queue.behind(10.0)(old), "it has waited for as long as a class ages"
    assert not queue.behind(1.0)(new)
    queue.remove(new)
    assert not queue.behind(1.0)(old)
    queue.remove(low)
    assert not queue.behind(1.0)(old)


async def test_documents_of_a_call_are_given_to_vllm_together(segments: Segments) -> None:
    """Within one step it computes their prefix once."""
    client = Recorder()
    running = window(engine(client, segments, step_tokens=100))
    call = started(running, work("call", 20))
    await asyncio.sleep(0)
    assert client.asked == []
    await turns(4)
    assert len(client.asked) == 20
    client.hold.set()
    await call


async def test_what_stands_behind_a_close_is_the_verdict(segments: Segments) -> None:
    client = Recorder()
    written = [*segments.trace_ids("It does."), *segments.close]
    logprobs = [(-9.0, -9.0)] * len(written) + [(-1.0, -3.0), (-9.0, -9.0)]
    client.writes = [Generation([*written, 5, 6], 0, finished=True, answers=logprobs)]
    found = await completion(client, segments, prompts("call", 1, budget=100)[0])
    assert (found.answers, found.status, found.reasoning) == ((-1.0, -3.0), Status.COMPLETE, "It does.")
    assert found.mass == pytest.approx(math.exp(-1.0) + math.exp(-3.0))
    assert list(found.written) == written
    assert len(client.asked) == 1


@pytest.mark.parametrize("text", ["It does.</think>", "It does"])
async def test_what_is_not_there_yet_is_asked_for(segments: Segments, text: str) -> None:
    """The budget ended the trace with its close, or before it."""
    client = Recorder()
    client.hold.set()
    written = encoded(segments, text)
    client.writes = [Generation(written, 0, finished=True, answers=[(-9.0, -1.0)] * len(written))]
    found = await completion(client, segments, prompts("call", 1, budget=100)[0])
    assert found.answers == (-1.0, -2.0)
    assert [asked.name for asked in client.asked] == ["0-reasoning", "0-answers"]
    assert [asked.priority for asked in client.asked] == [10, 9]
    assert client.prompts[1] == [0, *[1] * 10, *segments.context_after([], written)]


@pytest.mark.parametrize("budget", [0, 100])
async def test_answers_are_as_many_as_are_asked_for(segments: Segments, budget: int) -> None:
    client = Recorder()
    client.hold.set()
    client.writes = [Generation([7, 8], 0, finished=True, answers=[(-9.0,) * 3] * 2)]
    (prompt,) = prompts("call", 1, budget=budget, answers=(11, 12, 13))
    found = await completion(client, segments, prompt)
    assert found.answers == (-1.0, -2.0, -3.0)
    assert found.mass == pytest.approx(sum(map(math.exp, found.answers)))
    assert {asked.answers for asked in client.asked} == {(11, 12, 13)}


async def test_reasoning_that_is_continued_is_read_as_one(segments: Segments) -> None:
    """Its end-of-think tag may have begun before."""
    client = Recorder()
    written = [*segments.trace_ids("It names the cure."), *segments.close]
    for split in range(1, len(written)):
        before, ids = written[:split], written[split:]
        logprobs = [(-9.0, -9.0)] * len(ids) + [(-1.0, -3.0)]
        client.writes = [Generation([*ids, 5], 0, finished=True, answers=logprobs)]
        found = await completion(client, segments, prompts("call", 1, budget=100, written=before)[0])
        assert (found.status, found.reasoning) == (Status.COMPLETE, "It names the cure.")
        assert (found.answers, list(found.written)) == ((-1.0, -3.0), written)
        assert client.prompts[-1] == [0, *[1] * 10, *before]
    assert {asked.name.partition("-")[2] for asked in client.asked} == {"reasoning"}


async def test_reasoning_that_has_ended_is_not_continued(segments: Segments) -> None:
    client = Recorder()
    client.hold.set()
    closed = [*segments.trace_ids("It does."), *segments.close]
    found = await completion(client, segments, prompts("call", 1, budget=100, written=closed)[0])
    assert (found.status, found.reasoning, list(found.written)) == (Status.COMPLETE, "It does.", closed)
    assert client.prompts == [[0, *[1] * 10, *closed]]


async def test_pieces_are_told_as_they_come_and_join_to_the_whole(segments: Segments) -> None:
    client = Recorder()
    text = "It names the cure: Grüße, 光合作用."
    ids = [*encoded(segments, text), *segments.close, 5]
    steps = [Generation(ids[:n], 0) for n in range(1, len(ids))]
    logprobs = [(-9.0, -9.0)] * (len(ids) - 1) + [(-1.0, -3.0)]
    client.writes = [*steps, Generation(ids, 0, finished=True, answers=logprobs)]
    begun, *pieces, last = await outputs(client, segments, prompts("call", 1, budget=100, stream=True))
    assert isinstance(begun, Begun)
    assert isinstance(last, Completion)
    assert all(isinstance(piece, PartialOutput) and piece.text for piece in pieces)
    assert len(pieces) > 5
    assert "".join(piece.text for piece in pieces if isinstance(piece, PartialOutput)) == text == last.reasoning


async def test_pieces_end_where_a_loop_is_cut(segments: Segments) -> None:
    client = Recorder()
    client.hold.set()
    looping = [*encoded(segments, "Let me see."), *encoded(segments, " It is so." * 40)]
    client.writes = [Generation(looping[:n], 0) for n in range(1, len(looping), 16)]
    _, *pieces, last = await outputs(client, segments, prompts("call", 1, budget=400, stream=True))
    assert isinstance(last, Completion)
    assert last.status is Status.REPETITION
    assert "".join(piece.text for piece in pieces if isinstance(piece, PartialOutput)) == last.reasoning


async def test_pieces_of_a_continuation_leave_out_what_was_there(segments: Segments) -> None:
    client = Recorder()
    client.hold.set()
    before, ids = encoded(segments, "It names"), encoded(segments, " the cure at length")
    client.writes = [Generation(ids[:2], 0), Generation(ids, 0, finished=True)]
    asked = prompts("call", 1, budget=len(ids), written=before, stream=True)
    _, *pieces, last = await outputs(client, segments, asked)
    assert isinstance(last, Completion)
    assert "".join(piece.text for piece in pieces if isinstance(piece, PartialOutput)) == " the cure at length"
    assert (last.reasoning, last.reasoning_tokens) == ("It names the cure at length", len(before) + len(ids))


def test_a_model_that_wrote_on_behind_its_close_is_noticed(segments: Segments) -> None:
    reader = Reader(segments, ())
    trace = segments.trace_ids("It names the cure.")
    closed = [*trace, *segments.close]
    assert not reader.answered(closed, 0)
    assert reader.answered([*closed, 5], 0)
    assert reader.answered([*closed, 5], len(closed)), "the close was all of the news before"
    assert not reader.answered([*trace, *trace], 3)


async def test_a_job_that_is_cancelled_is_aborted_until_it_is_gone(segments: Segments) -> None:
    client = Recorder()
    feeding = scheduler(client, segments)
    submission, made = requests(segments, "call", 40, budget=100)
    feeding.add(made)
    await turns()
    running = feeding.unfinished
    assert running > 0
    feeding.cancel(submission)
    await until(lambda: feeding.unfinished == 0)
    await turns()
    assert len(client.asked) == running, "documents of a cancelled job were submitted"


async def test_documents_of_a_call_that_is_cancelled_are_not_given_to_vllm(segments: Segments) -> None:
    client = Recorder()
    running = window(engine(client, segments))
    call = started(running, work("call", 40))
    await turns()
    given = len(client.asked)
    assert 0 < given < 40
    call.cancel()
    client.hold.set()
    await until(lambda: running.running == 0)
    await turns()
    assert len(client.asked) == given


async def test_one_request_that_fails_fails_its_document_alone(
    segments: Segments, caplog: pytest.LogCaptureFixture
) -> None:
    client = Recorder()
    client.fails = {1}
    client.hold.set()
    submission, made = requests(segments, "call", 3)
    scheduler(client, segments).add(made)
    with pytest.raises(EngineFailed, match="not this one") as failed:
        await completions(submission)
    assert failed.value.indices == (1,)
    assert "request_failed" in caplog.text


async def test_what_is_left_ends_when_the_engine_is_closed(segments: Segments) -> None:
    feeding = scheduler(Recorder(), segments)
    submission, made = requests(segments, "call", 40)
    feeding.add(made)
    await asyncio.sleep(0)
    feeding.die(EngineDead("closed"))
    with pytest.raises(EngineDead):
        await completions(submission)


def running_of(made: Iterable[Request], *, begun: bool) -> list[RunningRequest]:
    return [RunningRequest(each, str(each.index), 0 if begun else 10, begun=begun) for each in made]


async def test_traces_are_closed_when_all_verdicts_would_just_be_in_time(segments: Segments) -> None:
    _, made = requests(segments, "call", 10, budget=50, deadline=100.0)
    _, waiting = requests(segments, "call", 5, budget=50, deadline=100.0)
    running = [*running_of(made, begun=True), *running_of(waiting, begun=False)]
    # 10 x 20 + 5 x (10 + 20) tokens at 0.01 s each are 3.5 s.
    assert due(running, 96.4, 0.01, 20) == []
    assert due(running, 96.6, 0.01, 20) == running


async def test_a_later_deadline_is_not_given_up_for_an_earlier_one(segments: Segments) -> None:
    _, soon = requests(segments, "soon", 4, budget=50, deadline=100.0)
    _, later = requests(segments, "later", 4, budget=50, deadline=200.0)
    late = due(running_of([*soon, *later], begun=True), 99.9, 0.01, 20)
    assert [running.request.deadline for running in late] == [100.0] * 4


async def test_requests_are_spread_over_replicas_and_both_of_a_document_go_to_one(segments: Segments) -> None:
    client = Recorder()
    client.hold.set()
    client.writes = [Generation([7], 0, finished=True)]
    feeding = VllmScheduler(client, segments, Reader(segments, ()), block=16, ranks=3)
    submission, made = requests(segments, "call", 7, budget=1)
    feeding.add(made)
    assert len(await completions(submission)) == 7
    ranks = [asked.rank for asked in client.asked if asked.name.endswith("reasoning")]
    assert sorted(ranks, key=str) == [0, 0, 0, 1, 1, 2, 2]
    by_name = {asked.name: asked.rank for asked in client.asked}
    assert all(by_name[f"{n}-reasoning"] == by_name[f"{n}-answers"] for n in range(7))


async def test_a_deadline_that_has_passed_lets_no_reasoning_begin(segments: Segments) -> None:
    client = Recorder()
    client.hold.set()
    found = await completion(client, segments, prompts("call", 1, budget=50, deadline=time.monotonic() - 1)[0])
    assert (found.status, found.reasoning, found.reasoning_tokens) == (Status.DEADLINE, "", 0)
    assert [(asked.name, asked.priority) for asked in client.asked] == [("0-answers", 0)]


@scripted_time
async def test_a_deadline_ends_reasoning_that_has_begun(segments: Segments) -> None:
    client = Recorder()
    client.hold.set()
    deadline = now() + 2.0
    submission, made = requests(segments, "call", 1, budget=50, deadline=deadline)
    scheduler(client, segments, now).add(made)
    (found,) = [output async for output in submission.outputs() if isinstance(output, Completion)]
    assert deadline - 1.0 < now() < deadline + 0.1
    assert (found.status, found.reasoning_tokens) == (Status.DEADLINE, 2)
    assert client.aborted == {"0-reasoning"}
    assert [params.name for params in client.asked] == ["0-reasoning", "0-answers"]


def test_an_engine_without_work_never_stands_still() -> None:
    at = [0.0]
    watch = ProgressWatch(5.0, lambda: "the same", clock=lambda: at[0])
    assert watch.fault(0) is None
    at[0] = 100.0
    assert watch.fault(0) is None
    assert watch.fault(2) is None
    at[0] = 104.0
    assert watch.fault(2) is None
    at[0] = 106.0
    assert "holds 2 requests and has computed nothing for 6 s" in (watch.fault(2) or "")


def test_a_loop_is_cut_where_it_was_complete(segments: Segments) -> None:
    written = [*range(100, 120), *[5, 6] * 60]
    reader = Reader(segments, (2,))
    at = reader.looped_at(written, 0)
    assert at is not None
    assert 20 + 48 <= at < 20 + 54
    assert reader.looped_at(list(range(100, 200)), 0) is None
    ended = reader.read([101, 102, 2])
    assert (ended.status, ended.tokens) == (Status.END_OF_TEXT, 2)
