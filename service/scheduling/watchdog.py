"""Watches the engine: its own word on its health, and a tiny score now and then that must come back in time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from service.engine import PROBE, Engine, Mode
from service.errors import EngineDead, EngineFailed, ServiceError
from service.lifecycle import Lifecycle, Phase

_log = logging.getLogger("limrank.engine_watch")
_PROBE_TRACE_TOKENS = 2
_PROBE_WORK = 50.0  # estimated tokens of the probe, as `reranker` would estimate them
_FAST = 0.25  # seconds: an engine that takes less is asked for more at once, since it computes many side by side
_MANY = 16


@dataclass(frozen=True, slots=True)
class WatchIntervals:
    """Seconds: between two looks at the engine's health, between two probes, and the longest a probe may take."""

    health: float = 0.5
    probe: float = 30.0
    probe_timeout: float = 60.0


class EngineWatch:
    """Keeps `lifecycle` true to the engine's state. `on_death` is called once, when the engine cannot recover."""

    def __init__(
        self,
        engine: Engine,
        lifecycle: Lifecycle,
        on_death: Callable[[EngineDead], None],
        intervals: WatchIntervals | None = None,
    ) -> None:
        self._engine = engine
        self._lifecycle = lifecycle
        self._on_death = on_death
        self._intervals = intervals or WatchIntervals()
        self._probe: asyncio.Task[None] | None = None
        self._probe_begun = 0.0
        self._stuck: str | None = None
        self._warm = False
        self.direct_rate = 0.0  # estimated tokens a second
        self.died = asyncio.Event()

    async def warm_up(self) -> None:
        """Score a tiny document in every mode, so that the first caller does not pay for what happens once, then take
        the time of a direct one, or of some side by side, as the first measure of speed. Does nothing the second time.
        """
        if self._warm:
            return
        for mode in sorted(self._engine.capabilities.modes):
            await self._score_probe(mode)
        seconds = await self._timed_probe(1)
        count = max(1, min(_MANY, self._engine.capabilities.window)) if seconds < _FAST else 1
        if count > 1:
            seconds = await self._timed_probe(count)
        self.direct_rate = count * _PROBE_WORK / max(seconds, 1e-3)
        self._warm = True

    async def _timed_probe(self, count: int) -> float:
        begun = time.monotonic()
        await self._score_probe(count=count)
        return time.monotonic() - begun

    async def run(self) -> None:
        """Watch until the engine dies or the task is cancelled."""
        try:
            self._probe_begun = time.monotonic()
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
        waited = time.monotonic() - self._probe_begun
        if self._probe is None or self._probe.done():
            self._note_probe_result()
            if waited >= self._intervals.probe:
                self._probe_begun = time.monotonic()
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
        try:
            await self._score_probe()
        except EngineFailed:
            await self._score_probe()

    async def _score_probe(self, mode: Mode | None = None, count: int = 1) -> None:
        modes = self._engine.capabilities.modes
        mode = mode or (Mode.DIRECT if Mode.DIRECT in modes else Mode.REASONING)
        budget = _PROBE_TRACE_TOKENS if mode is Mode.REASONING else 0
        passages = tuple(f"{PROBE.passages[0]} {number}" for number in range(count)) if count > 1 else PROBE.passages
        job = replace(PROBE, passages=passages)
        async with aclosing(self._engine.score(job, mode, budget, None)) as verdicts:
            async for _ in verdicts:
                pass
