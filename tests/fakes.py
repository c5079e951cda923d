"""The fakes of this suite: engines whose answers are scripted. Everything else in the tests is the real thing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from service.engine import Capabilities, Health, Job, Mode, Status, Verdict
from service.errors import EngineDead, EngineFailed


def by_word_overlap(query: str, passage: str) -> float:
    """Log-odds that grow with the words a passage shares with the query: an order a person can predict."""
    shared = set(query.lower().split()) & set(passage.lower().split())
    return float(len(shared)) - 1.0


@dataclass
class ScriptedEngine:
    """Answers by `log_odds(query and instruction, passage)`, each passage after `seconds`; keeps what it was asked.

    `encoding_seconds` is what it says that encoding took, of every job.
    A passage in `fail_once` makes the first job that holds it fail, one in `fail_always` every job. `dead` kills it.
    """

    log_odds: Callable[[str, str], float] = by_word_overlap
    seconds: float = 0.0
    encoding_seconds: float = 0.0
    window: int = 64
    modes: frozenset[Mode] = frozenset(Mode)
    fail_once: set[str] = field(default_factory=set)
    fail_always: set[str] = field(default_factory=set)
    dead: bool = False
    stuck: bool = False
    jobs: list[Job] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    encoded: Callable[[str, float], None] = lambda *_: None

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            engine="scripted",
            engine_version="0",
            dtype="float32",
            device="none",
            modes=self.modes,
            window=self.window,
            max_model_tokens=2048,
            max_reasoning_tokens=512,
        )

    async def score(self, job: Job, mode: Mode, budget: int, deadline: float | None) -> AsyncGenerator[Verdict]:
        self.jobs.append(job)
        self.encoded(job.call, self.encoding_seconds)
        self.running += len(job.passages)
        self.most_running = max(self.most_running, self.running)
        left = len(job.passages)
        try:
            for index, passage in enumerate(job.passages):
                await self._work(passage)
                self.running -= 1
                left -= 1
                asked = job.query if job.instruction is None else f"{job.query} {job.instruction}"
                yield _verdict(index, self.log_odds(asked, passage), mode)
        finally:
            self.running -= left

    async def _work(self, passage: str) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if self.dead:
            raise EngineDead("The engine has died.")
        if passage in self.fail_always:
            raise EngineFailed(f"The engine failed on a passage of {len(passage)} characters.")
        if passage in self.fail_once:
            self.fail_once.discard(passage)
            raise EngineFailed("The engine failed once.")

    def observe(self, encoded: Callable[[str, float], None]) -> None:
        self.encoded = encoded

    async def health(self) -> Health:
        if self.dead:
            return Health(ready=False, alive=False, reason="The engine has died.")
        return Health(ready=True, alive=True)

    async def close(self) -> None:
        self.released.set()


def _verdict(index: int, log_odds: float, mode: Mode) -> Verdict:
    reasoning = mode is Mode.REASONING
    return Verdict(
        index=index,
        log_odds=log_odds,
        status=Status.COMPLETE,
        trace="It answers the question." if reasoning else None,
        prompt_tokens=50,
        cached_tokens=20,
        reasoning_tokens=5 if reasoning else 0,
        truncated=False,
    )
