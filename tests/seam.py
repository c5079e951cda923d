"""Calls as tests write them down, on their way through encoder, window and engine."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from contract.verdict import AS_IT_IS, Temperatures
from service.engine import Completion, Engine, Limits, Prompt, Scoring
from service.ranking import Mode, Verdict
from service.scheduling.encoding import CallText, EncodedCall, EncodingPool
from service.scheduling.throughput import Throughput
from service.scheduling.window import Window
from service.scheduling.work import Work
from service.verdicts import verdicts_of


@dataclass(frozen=True, slots=True)
class Job:
    """Passages to be scored against one query, in the name of a call."""

    call: str
    query: str
    passages: tuple[str, ...]
    instruction: str | None = None
    priority: int = 1
    passage_tokens: int | None = None
    truncate: bool = True
    cut_left: bool = False

    def limits(self, budget: int) -> Limits:
        return Limits(budget, self.passage_tokens, self.truncate, self.cut_left)


async def encoded(engine: Engine, job: Job, budget: int = 0) -> EncodedCall:
    """A job in ids, as the door makes them."""
    pool = EncodingPool(engine.encoder)
    try:
        return await pool.encode(CallText(job.query, job.instruction, job.passages, job.limits(budget)), "tests")
    finally:
        pool.close()


async def work_of(engine: Engine, job: Job, mode: Mode = Mode.DIRECT, budget: int = 0) -> Work:
    """A job as the window takes it, due in an hour."""
    made = await encoded(engine, job, budget)
    scoring = Scoring.REASONING if mode is Mode.REASONING else Scoring.DIRECT
    answers, due = engine.encoder.answers, time.monotonic() + 3600
    return Work(job.call, made.prefix, made.rests, answers, scoring, budget, job.priority, due)


async def prompts_of(engine: Engine, job: Job, budget: int = 0, deadline: float | None = None) -> list[Prompt]:
    made = await encoded(engine, job, budget)
    return [
        Prompt(
            call=job.call,
            prefix=made.prefix.ids,
            rest=rest.ids,
            answers=engine.encoder.answers,
            budget=budget,
            second=made.prefix.second,
            priority=job.priority,
            deadline=deadline,
        )
        for rest in made.rests
    ]


async def completions(engine: Engine, prompts: list[Prompt]) -> list[Completion]:
    """The completions of prompts submitted together, in their order."""
    async with aclosing(engine.submit(prompts)) as outputs:
        found = [output async for output in outputs if isinstance(output, Completion)]
    return sorted(found, key=lambda completion: completion.index)


async def score(
    engine: Engine,
    job: Job,
    mode: Mode = Mode.DIRECT,
    budget: int = 0,
    deadline: float | None = None,
    temperatures: Temperatures = AS_IT_IS,
) -> list[Verdict]:
    """All verdicts of a job, in the order of its passages."""
    budget = min(budget, engine.capabilities.max_reasoning_tokens)
    made = await encoded(engine, job, budget)
    found = await completions(engine, await prompts_of(engine, job, budget, deadline))
    return verdicts_of(found, made, mode, temperatures, engine.encoder.reading)


async def as_they_come(engine: Engine, job: Job, budget: int = 0) -> AsyncGenerator[Completion]:
    """The completions of a job straight from the engine."""
    async with aclosing(engine.submit(await prompts_of(engine, job, budget))) as outputs:
        async for output in outputs:
            if isinstance(output, Completion):
                yield output


def window_over(engine: Engine) -> Window:
    return Window(engine, engine.capabilities.window, Throughput())
