"""What the engine works on, and when: cancelled work ends, small calls pass large ones, faults stay where they are."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.engine import Completion, Output, Prompt
from service.engines.transformers.engine import EngineOptions, TransformersEngine
from service.engines.transformers.model import load_model
from service.errors import EngineDead, EngineFailed
from service.models.checkpoint import Checkpoint
from service.ranking import Mode
from service.scheduling.queue import CallQueue
from service.scheduling.throughput import Throughput
from service.scheduling.window import Window
from tests.seam import Job, as_they_come, completions, prompts_of, score, work_of
from tests.service.engines.plain_forward import segments_of, text
from tests.waiting import PATIENCE, until

BATCH = 96
QUERY = "how do glaciers move"
PASSAGE = "Ice flows under its own weight."
FAULTY = "Zanzibar"


@dataclass
class Passes:
    """What the model is asked to compute, told by a torch hook on the model itself: the tokens of every pass.

    A pass whose ids make `fails` true raises `error`, as a model does that runs out of memory. The pass with which
    there are `hold_at` of them (of `hold_tokens` each, where that is set) waits for `go`.
    """

    tokens: list[int] = field(default_factory=list)
    fails: Callable[[list[int]], bool] = lambda ids: False
    error: type[BaseException] = RuntimeError
    hold_at: int = 0
    hold_tokens: int | None = None
    held: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def before(self, module: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        ids = named["input_ids"][0].tolist()
        self.tokens.append(len(ids))
        if self.hold_at and not self.held.is_set() and self._counted >= self.hold_at:
            self.held.set()
            assert self.go.wait(PATIENCE)
        if self.fails(ids):
            raise self.error("not enough memory")

    @property
    def _counted(self) -> int:
        return sum(1 for n in self.tokens if self.hold_tokens in (None, n))


@dataclass
class Watched:
    engine: TransformersEngine
    passes: Passes

    async def held(self) -> None:
        """Return when a pass has begun that waits."""
        await until(self.passes.held.is_set)

    async def passes_of(self, call: str, mode: Mode = Mode.DIRECT, budget: int = 0) -> list[int]:
        """The tokens of the passes in which a small call is computed, and whatever else is in the meantime."""
        before = len(self.passes.tokens)
        assert len(await score(self.engine, Job(call, QUERY, (PASSAGE,)), mode, budget)) == 1
        return self.passes.tokens[before:]


@pytest.fixture(scope="module")
def model(small_checkpoint: Checkpoint) -> Any:
    return load_model(small_checkpoint.folder, "float32")


@pytest.fixture
async def watched(small_checkpoint: Checkpoint, model: Any) -> AsyncIterator[Watched]:
    """An engine of small batches whose passes are counted."""
    passes = Passes()
    hook = model.base_model.register_forward_pre_hook(passes.before, with_kwargs=True)
    segments = segments_of(small_checkpoint.folder)
    engine = TransformersEngine(model, segments, EngineOptions(threads=2, batch_tokens=BATCH))
    yield Watched(engine, passes)
    await engine.close()
    hook.remove()


def many(call: str, count: int = 64, priority: int = 1) -> Job:
    choose = random.Random(call)
    return Job(call, QUERY, tuple(text(choose, 12) for _ in range(count)), priority=priority)


def holds(checkpoint: Checkpoint, word: str) -> Callable[[list[int]], bool]:
    """True of ids among which are all those of ` {word}`."""
    tokenizer = segments_of(checkpoint.folder).tokenizer
    wanted = set(tokenizer.encode(f" {word}", add_special_tokens=False).ids)
    return lambda ids: wanted <= set(ids)


async def test_closing_the_generator_ends_the_work_within_a_batch(watched: Watched) -> None:
    watched.passes.hold_at = 3  # of more than ten
    async with aclosing(as_they_come(watched.engine, many("given up"))) as answered:
        async for _ in answered:
            await watched.held()
            break
    watched.passes.go.set()
    await assert_given_up(watched)


async def test_cancelling_the_task_ends_the_work_too(watched: Watched) -> None:
    watched.passes.hold_at = 3
    task = asyncio.create_task(score(watched.engine, many("given up")))
    await watched.held()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    watched.passes.go.set()
    await assert_given_up(watched)


async def assert_given_up(watched: Watched) -> None:
    """Nothing but the calls that come now is computed, each in as many passes as the other."""
    first = await watched.passes_of("next")
    second = await watched.passes_of("after it")
    assert len(first) <= len(second) + 1, "no more than what was planned when it was given up"
    assert len(second) <= 2


async def test_cancelling_ends_traces_between_two_steps(watched: Watched) -> None:
    watched.passes.hold_at, watched.passes.hold_tokens = 3, 6  # three steps of all six traces
    task = asyncio.create_task(score(watched.engine, many("given up", 6), Mode.REASONING, 2000))
    await watched.held()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    watched.passes.go.set()
    steps = await watched.passes_of("next", Mode.REASONING, 8)
    assert sum(1 for tokens in steps if tokens in (6, 7)) <= 1, "of six traces, or of them and the next call's"


class Finishing(TransformersEngine):
    """Notes the call of every completion."""

    finished: list[str]

    async def submit(self, prompts: Sequence[Prompt]) -> AsyncGenerator[Output]:
        async for output in super().submit(prompts):
            if isinstance(output, Completion):
                self.finished.append(prompts[output.index].call)
            yield output


@pytest.fixture
async def finishing(small_checkpoint: Checkpoint, model: Any) -> AsyncIterator[Finishing]:
    engine = Finishing(
        model, segments_of(small_checkpoint.folder), EngineOptions(threads=2, window=64, batch_tokens=BATCH)
    )
    engine.finished = []
    yield engine
    await engine.close()


def window_over(engine: Finishing) -> Window:
    """Its turns are small as the engine's batches are."""
    return Window(engine, 64, Throughput(), queue=CallQueue(first_tokens=2 * BATCH, turn_tokens=2 * BATCH))


async def test_a_small_call_does_not_wait_for_a_large_one(finishing: Finishing) -> None:
    """The window hands over no more than keeps the engine busy, so that what comes later is soon at work."""
    window = window_over(finishing)
    works = [await work_of(finishing, many(name, count)) for name, count in (("large", 48), ("small", 2))]
    large = asyncio.create_task(window.run(works[0]))
    await until(lambda: "large" in finishing.finished)
    await window.run(works[1])
    before_small = finishing.finished.index("small")
    await large
    assert before_small < 30
    assert finishing.finished.count("large") == 48


async def test_an_urgent_call_goes_before_others(finishing: Finishing) -> None:
    """It waits for what the engine holds, and for what fills its own last batch; one of the others' class, beside the
    same calls, for more than that."""
    passed, allowed = await _passed_by(finishing, priority=0)
    assert passed <= allowed
    like_others, allowed = await _passed_by(finishing, priority=2)
    assert like_others > allowed, "else the class would not be what made the difference"


async def _passed_by(finishing: Finishing, priority: int) -> tuple[int, int]:
    """How many documents of two calls in progress are done before a later call is, and how many of them the engine held
    when it came or can compute beside its last documents."""
    window = window_over(finishing)
    works = [await work_of(finishing, many(call, 36, priority=2)) for call in ("one", "two")]
    later = await work_of(finishing, many("later", 24, priority=priority))
    shortest = min(len(rest.ids) for work in works for rest in work.rests)
    finishing.finished.clear()
    running = [asyncio.create_task(window.run(work)) for work in works]
    await until(lambda: bool(finishing.finished))
    done, held = len(finishing.finished), window.running
    await window.run(later)
    passed = len(finishing.finished) - done - 24
    await asyncio.gather(*running)
    return passed, held + BATCH // shortest


async def test_a_failing_pass_fails_its_documents_and_no_other(watched: Watched, small_checkpoint: Checkpoint) -> None:
    watched.passes.fails = holds(small_checkpoint, FAULTY)
    passages = tuple(f"{FAULTY} is far." if index == 5 else f"{PASSAGE} {index}" for index in range(24))
    seen: list[int] = []

    async def collect() -> None:
        async for completion in as_they_come(watched.engine, Job("call", QUERY, passages)):
            seen.append(completion.index)

    with pytest.raises(EngineFailed, match="RuntimeError: not enough memory") as failed:
        await collect()
    assert 5 in failed.value.indices
    assert len(failed.value.indices) < 12
    assert sorted([*seen, *failed.value.indices]) == list(range(24))
    again = Job("again", QUERY, tuple(passages[index] for index in failed.value.indices if index != 5))
    assert len(await score(watched.engine, again)) == len(again.passages)
    assert (await watched.engine.health()).ready


async def test_a_prefix_whose_pass_failed_is_computed_again(watched: Watched) -> None:
    job = Job("call", QUERY, (PASSAGE,))
    watched.passes.fails = lambda ids: True
    with pytest.raises(EngineFailed):
        await score(watched.engine, job)
    watched.passes.fails = lambda ids: False
    (verdict,) = await score(watched.engine, job)
    assert verdict.cached_tokens == 0
    (repeated,) = await score(watched.engine, job)
    assert repeated.cached_tokens > 0
    assert repeated.log_odds == pytest.approx(verdict.log_odds, abs=1e-3)


async def test_a_failing_step_fails_its_traces_and_the_next_go_on(watched: Watched) -> None:
    job = Job("call", QUERY, (PASSAGE, "Trains run."))
    watched.passes.fails = lambda ids: len(ids) == 2
    with pytest.raises(EngineFailed) as failed:
        await score(watched.engine, job, Mode.REASONING, 500)
    assert failed.value.indices == (0, 1)
    watched.passes.fails = lambda ids: False
    assert len(await score(watched.engine, job, Mode.REASONING, 3)) == 2


async def test_when_the_thread_dies_everybody_is_told(watched: Watched, small_checkpoint: Checkpoint) -> None:
    watched.passes.fails = holds(small_checkpoint, FAULTY)
    watched.passes.error = SystemExit
    jobs = [await prompts_of(watched.engine, job) for job in (Job("deadly", QUERY, (FAULTY,)), many("other", 64))]
    outcomes = await asyncio.gather(*(completions(watched.engine, job) for job in jobs), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [EngineDead] * 2
    health = await watched.engine.health()
    assert (health.ready, health.alive) == (False, False)
    assert "SystemExit" in health.reason
    with pytest.raises(EngineDead, match="restart the server"):
        await score(watched.engine, Job("later", QUERY, (PASSAGE,)))


async def test_closing_ends_what_is_left_and_the_thread(watched: Watched) -> None:
    watched.passes.hold_at = 1
    task = asyncio.create_task(score(watched.engine, many("left")))
    await watched.held()
    closing = asyncio.create_task(watched.engine.close())
    await until(lambda: not watched.engine._thread._inbox.empty())  # it was told to stop
    watched.passes.go.set()
    await closing
    with pytest.raises(EngineDead, match="stopped"):
        await task
    assert "limrank-engine" not in {thread.name for thread in threading.enumerate()}
    await watched.engine.close()


async def test_the_event_loop_goes_on_while_the_model_works(watched: Watched) -> None:
    """Others have their turns while a pass is inside the model."""
    watched.passes.hold_at = 2
    scoring = asyncio.create_task(score(watched.engine, many("call", 32)))
    await watched.held()
    for _ in range(10):
        await asyncio.sleep(0.001)
    assert not scoring.done()
    assert len(watched.passes.tokens) == 2
    watched.passes.go.set()
    assert len(await scoring) == 32
    assert len(watched.passes.tokens) > 2
