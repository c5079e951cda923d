"""Readiness follows the engine: its own word on its health, and a tiny document that must come back in time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from service.engine import Health, Output, Prompt, Scoring
from service.errors import EngineDead, EngineFailed
from service.lifecycle import Lifecycle, Phase
from service.scheduling.watchdog import PROBE_PASSAGE, Watchdog, WatchIntervals
from tests.fakes import ScriptedEngine
from tests.scripted_time import now, scripted_time

OFTEN = WatchIntervals(health=0.005, probe=0.02, probe_timeout=0.1)


@dataclass
class UnwellEngine(ScriptedEngine):
    """Says of its health what it is told to; keeps how it was asked to score."""

    says: Health | Exception = field(default_factory=lambda: Health(ready=True, alive=True))
    asked: list[Scoring] = field(default_factory=list)

    async def health(self) -> Health:
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    def submit(self, prompts: Sequence[Prompt]) -> AsyncGenerator[Output]:
        self.asked.append(prompts[0].scoring)
        return super().submit(prompts)


@dataclass
class Watched:
    engine: UnwellEngine
    lifecycle: Lifecycle
    watch: Watchdog
    deaths: list[EngineDead]

    async def until(self, happened: Callable[[Lifecycle], bool]) -> None:
        async with asyncio.timeout(20):  # of the loop's scripted time
            while not happened(self.lifecycle):  # noqa: ASYNC110 - the lifecycle tells nobody that it changed
                await asyncio.sleep(0.002)


@asynccontextmanager
async def watching(engine: UnwellEngine, intervals: WatchIntervals = OFTEN) -> AsyncIterator[Watched]:
    """An engine that is warm and watched, of a service that is ready."""
    lifecycle, deaths = Lifecycle(), list[EngineDead]()
    watched = Watched(engine, lifecycle, Watchdog(engine, lifecycle, deaths.append, intervals, now), deaths)
    await watched.watch.warm_up()
    lifecycle.phase = Phase.READY
    task = asyncio.create_task(watched.watch.run())
    try:
        yield watched
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@scripted_time
async def test_every_way_of_scoring_is_warm_before_the_first_caller_and_only_once() -> None:
    engine = UnwellEngine(seconds=0.01)
    watch = Watchdog(engine, Lifecycle(), lambda _: None, clock=now)
    await watch.warm_up()
    assert sorted(engine.asked) == [Scoring.DIRECT] * 3 + [Scoring.REASONING]
    await watch.warm_up()
    assert len(engine.asked) == 4


@pytest.mark.parametrize("seconds", [0.0, 0.3])
@scripted_time
async def test_a_fast_engine_is_measured_with_documents_side_by_side(seconds: float) -> None:
    """A single one would tell of the latency of a step, and not of what fits into one."""
    engine = UnwellEngine(seconds=seconds)
    watch = Watchdog(engine, Lifecycle(), lambda _: None, clock=now)
    await watch.warm_up()
    passages = [job.passages for job in engine.jobs]
    assert (len(passages[-1]), len(set(passages[-1]))) == ((16, 16) if seconds == 0 else (1, 1))
    assert watch.direct_rate == pytest.approx(50 / 0.3) if seconds else watch.direct_rate > 1000


@scripted_time
async def test_an_engine_that_cannot_score_its_first_document_is_not_served() -> None:
    watch = Watchdog(UnwellEngine(fail_always={PROBE_PASSAGE}), Lifecycle(), lambda _: None, clock=now)
    with pytest.raises(EngineFailed):
        await watch.warm_up()


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (Health(ready=False, alive=True, reason="It is busy with itself."), "It is busy with itself."),
        (Health(ready=False, alive=True), "The engine is not ready."),
        (RuntimeError("private"), "The engine cannot tell its health (RuntimeError)."),
    ],
)
@scripted_time
async def test_an_engine_that_is_unwell_gets_no_traffic_until_it_is_well(says: Health | Exception, reason: str) -> None:
    async with watching(UnwellEngine()) as watched:
        watched.engine.says = says
        await watched.until(lambda lifecycle: not lifecycle.ready)
        assert watched.lifecycle.reason == reason
        assert not watched.lifecycle.accepting
        watched.engine.says = Health(ready=True, alive=True)
        await watched.until(lambda lifecycle: lifecycle.ready)


@scripted_time
async def test_an_engine_that_says_it_is_well_and_scores_nothing_is_found_out() -> None:
    async with watching(UnwellEngine()) as watched:
        watched.engine.stuck = True
        await watched.until(lambda lifecycle: not lifecycle.ready)
        assert watched.lifecycle.reason.startswith("The engine has not scored a tiny document for ")
        assert watched.engine.running == 1, "one probe is out, not one for every interval"


@scripted_time
async def test_an_engine_that_fails_on_a_tiny_document_is_not_ready_until_it_scores_one() -> None:
    async with watching(UnwellEngine()) as watched:
        watched.engine.fail_always = {PROBE_PASSAGE}
        await watched.until(lambda lifecycle: not lifecycle.ready)
        assert watched.lifecycle.reason.startswith("The engine failed on a tiny document: ")
        watched.engine.fail_always = set()
        await watched.until(lambda lifecycle: lifecycle.ready)


@scripted_time
async def test_a_probe_that_fails_once_is_tried_again_before_calls_are_refused() -> None:
    async with watching(UnwellEngine()) as watched:
        asked = len(watched.engine.asked)
        watched.engine.fail_once = {PROBE_PASSAGE}
        while watched.engine.fail_once or len(watched.engine.asked) < asked + 2:
            assert watched.lifecycle.ready
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        assert watched.lifecycle.ready


@scripted_time
async def test_a_dead_engine_is_told_of_once_and_watched_no_more() -> None:
    async with watching(UnwellEngine()) as watched:
        watched.engine.says = Health(ready=False, alive=False, reason="Its process is gone.")
        await asyncio.wait_for(watched.watch.died.wait(), 20)
        assert watched.lifecycle.phase is Phase.DEAD
        await asyncio.sleep(0.05)
        assert [error.message for error in watched.deaths] == [
            "The engine has died and the server is about to restart. Its process is gone."
        ]


@pytest.mark.parametrize(
    ("says", "said"),
    [(0.5, "get the same score"), (math.nan, "no finite number"), (math.inf, "no finite number")],
)
@scripted_time
async def test_verdicts_that_tell_nothing_are_not_served(says: float, said: str) -> None:
    watch = Watchdog(UnwellEngine(log_odds=lambda query, passage: says), Lifecycle(), lambda _: None, clock=now)
    with pytest.raises(EngineFailed, match=said):
        await watch.warm_up()


@scripted_time
async def test_random_weights_may_judge_all_texts_alike_and_must_give_numbers() -> None:
    alike = UnwellEngine(random_weights=True, log_odds=lambda query, passage: 0.5)
    await Watchdog(alike, Lifecycle(), lambda _: None, clock=now).warm_up()
    nothing = UnwellEngine(random_weights=True, log_odds=lambda query, passage: math.nan)
    with pytest.raises(EngineFailed, match="no finite number"):
        await Watchdog(nothing, Lifecycle(), lambda _: None, clock=now).warm_up()


@scripted_time
async def test_an_engine_whose_verdicts_are_no_numbers_any_more_is_not_ready() -> None:
    async with watching(UnwellEngine()) as watched:
        watched.engine.log_odds = lambda query, passage: math.nan
        await watched.until(lambda lifecycle: not lifecycle.ready)
        assert "no finite number" in watched.lifecycle.reason
