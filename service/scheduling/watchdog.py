"""Watches the engine: its own word on its health, and a tiny score now and then that must come back in time."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from cli.progress import progress
from contract.verdict import AS_IT_IS
from service.engine import Completion, Engine, Limits, Prompt, Scoring
from service.errors import EngineDead, EngineFailed, ServiceError
from service.lifecycle import FirstStageLifecycle, Lifecycle, Phase

_log = logging.getLogger("limrank.engine_watch")
# Tiny, and no caller's: what an engine is warmed up with and asked now and then whether it still works.
PROBE_QUERY, PROBE_PASSAGE = "what is a reranker", "A reranker orders passages."
# What no two of may get the same score, for a model whose weights are more than zeros.
UNLIKE = (
    PROBE_PASSAGE,
    "Bread is baked from flour, water and salt.",
    "Rest and fluids help against influenza.",
    "No.",
)
_PROBE_REASONING_TOKENS = 2
_FAST = 0.25  # seconds: an engine that takes less is asked for more at once, since it computes many side by side
_MANY = 16


@dataclass(frozen=True, slots=True)
class WatchIntervals:
    """Seconds: between two looks at the engine's health, between two probes, and the longest a probe may take."""

    health: float = 0.5
    probe: float = 30.0
    probe_timeout: float = 60.0


class Watchdog:
    """Keeps `lifecycle` true to the engine's state. `on_death` is called once, when the engine cannot recover."""

    def __init__(
        self,
        engine: Engine,
        lifecycle: Lifecycle | FirstStageLifecycle,
        on_death: Callable[[EngineDead], None],
        intervals: WatchIntervals | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._lifecycle = lifecycle
        self._on_death = on_death
        self._intervals = intervals or WatchIntervals()
        self._clock = clock
        self._probe: asyncio.Task[None] | None = None
        self._probe_begun = 0.0
        self._stuck: str | None = None
        self._warm = False
        self.direct_rate = 0.0  # tokens a second
        self.died = asyncio.Event()

    async def warm_up(self) -> None:
        """Score tiny documents in every way, so that the first caller does not pay for what happens once, then take
        the time of a direct one, or of some side by side, as the first measure of speed. Does nothing the second time.

        Raise EngineFailed where the verdicts are no finite numbers, or the same whatever was read.
        """
        if self._warm:
            return
        scorings = sorted(self._engine.capabilities.scoring)
        with progress("warming_up", total=len(scorings) + 2, unit="trials") as shown:
            for scoring in scorings:
                answers = await self._score(self._probes(UNLIKE, scoring))
                if not self._engine.capabilities.random_weights:
                    _refuse_constant(scoring, [AS_IT_IS.calibrated(each) for each in answers])
                shown.advance()
            seconds, tokens = await self._timed_probe(1)
            shown.advance()
            count = max(1, min(_MANY, self._engine.capabilities.window)) if seconds < _FAST else 1
            if count > 1:
                seconds, tokens = await self._timed_probe(count)
            shown.advance()
        self.direct_rate = tokens / max(seconds, 1e-3)
        self._warm = True

    async def _timed_probe(self, count: int) -> tuple[float, int]:
        """The seconds that so many tiny documents took, and their tokens."""
        passages = [f"{PROBE_PASSAGE} {number}" for number in range(count)] if count > 1 else [PROBE_PASSAGE]
        probes = self._probes(passages)
        begun = self._clock()
        await self._score(probes)
        return self._clock() - begun, len(probes[0].prefix) + sum(len(probe.rest) for probe in probes)

    async def run(self) -> None:
        """Watch until the engine dies or the task is cancelled."""
        try:
            self._probe_begun = self._clock()
            while not self.died.is_set():
                await self._look()
                await asyncio.sleep(self._intervals.health)
        finally:
            if self._probe is not None:
                self._probe.cancel()

    async def _look(self) -> None:
        try:
            health = await self._engine.health()
        except Exception as error:  # noqa: BLE001 - an engine that cannot even tell is not fit for traffic
            _log.error("health_failed", exc_info=error)
            self._lifecycle.engine_fault = f"The engine cannot tell its health ({type(error).__name__})."
            return
        if not health.alive:
            self._die(health.reason)
            return
        self._watch_probe()
        self._lifecycle.engine_fault = self._stuck if health.ready else health.reason or "The engine is not ready."

    def _die(self, reason: str) -> None:
        error = EngineDead(f"The engine has died and the server is about to restart. {reason}".strip())
        self._lifecycle.phase = Phase.DEAD
        self.died.set()
        _log.error("engine_died", extra={"reason": reason})
        self._on_death(error)

    def _watch_probe(self) -> None:
        """Start a probe when it is time; while one is out too long, the engine counts as stuck."""
        waited = self._clock() - self._probe_begun
        if self._probe is None or self._probe.done():
            self._note_probe_result()
            if waited >= self._intervals.probe:
                self._probe_begun = self._clock()
                self._probe = asyncio.get_running_loop().create_task(self._probe_twice())
        elif waited > self._intervals.probe_timeout:
            self._stuck = f"The engine has not scored a tiny document for {waited:.0f} s."

    def _note_probe_result(self) -> None:
        if self._probe is None:
            return
        error = None if self._probe.cancelled() else self._probe.exception()
        self._stuck = None if error is None else f"The engine failed on a tiny document: {error}"
        if error is not None and not isinstance(error, ServiceError):
            _log.error("probe_failed", exc_info=error)
        self._probe = None

    async def _probe_twice(self) -> None:
        """As any document, the probe is tried once more: it may have been beside one that the engine failed on."""
        probes = self._probes([PROBE_PASSAGE])
        try:
            await self._score(probes)
        except EngineFailed:
            await self._score(probes)

    def _probes(self, passages: Sequence[str], scoring: Scoring | None = None) -> list[Prompt]:
        able = self._engine.capabilities.scoring
        scoring = scoring or (Scoring.DIRECT if Scoring.DIRECT in able else Scoring.REASONING)
        budget = _PROBE_REASONING_TOKENS if scoring is Scoring.REASONING else 0
        encoder = self._engine.encoder
        prefix = encoder.prefix(PROBE_QUERY, None, budget)
        return [
            Prompt(
                call="probe",
                prefix=prefix.ids,
                rest=rest.ids,
                answers=encoder.answers,
                budget=budget,
                second=prefix.second,
                priority=0,
            )
            for rest in encoder.rests(prefix, passages, Limits(budget))
        ]

    async def _score(self, probes: Sequence[Prompt]) -> list[tuple[float, ...]]:
        """The answers to the probes. Raise EngineFailed where they are no finite numbers."""
        answers = []
        async with aclosing(self._engine.submit(probes)) as outputs:
            async for output in outputs:
                if isinstance(output, Completion):
                    answers.append(output.answers)
        for each in answers:
            if not all(map(math.isfinite, each)):
                raise EngineFailed(f"its verdict on a tiny document is {_shown(each)} and no finite number.")
        return answers


def _refuse_constant(scoring: Scoring, log_odds: Sequence[float]) -> None:
    if len(set(log_odds)) == 1:
        raise EngineFailed(
            f"texts that have nothing in common get the same score ({log_odds[0]:.4g}) in {scoring.value} scoring, so "
            "its weights are not those of a model that ranks; fetch or train it again."
        )


def _shown(answers: Sequence[float]) -> str:
    return ", ".join(f"{answer:.4g}" for answer in answers)
