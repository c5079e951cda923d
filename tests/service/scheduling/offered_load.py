"""Calls with deadlines offered to a door in scripted time, as multiples of what its engine can do."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from array import array
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from contract.reasoning import Status
from service.engine import Output, Prefix, Prompt, Rest, Scoring
from service.errors import DeadlineExceeded, Unavailable
from service.lifecycle import Lifecycle, Phase
from service.scheduling.admission import Admission
from service.scheduling.shares import QueueLimits
from service.scheduling.throughput import Throughput
from service.scheduling.window import Window
from service.scheduling.work import Incoming, Work
from tests.fakes import ScriptedEngine, scripted_completion
from tests.scripted_time import now

TOKENS = 50  # of a document
TRACE = 100  # tokens of a document's reasoning
_REST = Rest(array("I", [0] * TOKENS), truncated=False)


@dataclass
class Machine(ScriptedEngine):
    """Computes `rate()` tokens a second: one document after another, in the order in which it was handed them, and a
    document's reasoning right behind it. What is given up before its turn takes no time."""

    rate: Callable[[], float] = lambda: 1000.0
    window: int = 64
    window_tokens: int = 1024
    behind_tokens: int = 256
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def submit(self, prompts: Sequence[Prompt]) -> AsyncGenerator[Output]:
        done: asyncio.Queue[Output] = asyncio.Queue()
        tasks = [asyncio.create_task(self._compute(index, prompt, done)) for index, prompt in enumerate(prompts)]
        try:
            for _ in prompts:
                yield await done.get()
        finally:
            for task in tasks:
                task.cancel()

    async def _compute(self, index: int, prompt: Prompt, done: asyncio.Queue[Output]) -> None:
        async with self.turn:
            await asyncio.sleep(len(prompt.rest) / self.rate())
            status = Status.COMPLETE
            if prompt.budget:
                left = math.inf if prompt.deadline is None else max(0.0, prompt.deadline - now())
                wanted = prompt.budget / self.rate()
                await asyncio.sleep(min(wanted, left))
                status = Status.DEADLINE if left < wanted else status
        done.put_nowait(scripted_completion(index, prompt, 0.0, status))


@dataclass(frozen=True)
class Offer:
    """A call that comes `at` seconds after the begin, due `seconds` later."""

    at: float
    documents: int
    seconds: float
    key: str = ""
    priority: int = 1
    budget: int = 0


@dataclass(frozen=True)
class Outcome:
    """How an offer ended (status), after so many seconds; `begun`: of a refusal, that it had been let in before."""

    offer: Offer
    status: int
    took: float
    retry_after: float | None = None
    begun: bool = False


def poisson(
    load: float,
    capacity: float,
    seconds: float,
    *,
    seed: int = 0,
    key: str = "",
    budget: int = 0,
    dues: Sequence[float] = (10.0, 60.0),
    sizes: tuple[int, int] = (30, 100),
) -> list[Offer]:
    """Calls for so many seconds, at `load` times `capacity` (documents a second)."""
    draw = random.Random(seed)
    offers: list[Offer] = []
    mean = sum(sizes) / 2
    at = draw.expovariate(load * capacity / mean)
    while at < seconds:
        offers.append(Offer(at, draw.randint(*sizes), draw.choice(dues), key, budget=budget))
        at += draw.expovariate(load * capacity / mean)
    return offers


class Offered:
    """A door over a machine, and what came of all calls offered to it."""

    def __init__(self, machine: Machine, *, several_keys: bool = False) -> None:
        self.machine = machine
        lifecycle = Lifecycle()
        lifecycle.phase = Phase.READY
        self.throughput = Throughput(now)
        self.throughput.suppose(Scoring.DIRECT, machine.rate())
        self.window = Window(machine, machine.window, self.throughput, now)
        limits = QueueLimits(20_000, 20_000_000, several_keys)
        self.admission = Admission(self.window, lifecycle, limits, self.throughput, now)
        self.outcomes: list[Outcome] = []
        self._names = itertools.count()

    async def run(self, offers: Iterable[Offer]) -> list[Outcome]:
        begun, tasks = now(), []
        for offer in sorted(offers, key=lambda offer: offer.at):
            await asyncio.sleep(begun + offer.at - now())
            tasks.append(asyncio.create_task(self._call(offer)))
        await asyncio.gather(*tasks)
        return self.outcomes

    async def _call(self, offer: Offer) -> None:
        work = Work(
            call=f"c{next(self._names)}",
            prefix=Prefix((), 1000),
            rests=[_REST] * offer.documents,
            answers=(1, 2),
            scoring=Scoring.REASONING if offer.budget else Scoring.DIRECT,
            budget=offer.budget,
            priority=offer.priority,
            deadline=now() + offer.seconds,
            key=offer.key,
        )
        come = Incoming(
            work.call, offer.documents, 0, work.scoring, work.priority, work.deadline, work.key, work.budget
        )

        async def encode() -> Work:
            return work

        begun = now()
        try:
            await self.admission.score(come, encode)
        except (Unavailable, DeadlineExceeded) as error:
            outcome = Outcome(offer, error.status, now() - begun, error.retry_after, error.begun)
        else:
            outcome = Outcome(offer, 200, now() - begun)
        self.outcomes.append(outcome)


def in_time(outcomes: Iterable[Outcome], chosen: Callable[[Offer], bool] = lambda _: True) -> int:
    """Documents of calls that were answered by their deadline."""
    return sum(
        each.offer.documents
        for each in outcomes
        if each.status == 200 and each.took <= each.offer.seconds + 1e-6 and chosen(each.offer)
    )
