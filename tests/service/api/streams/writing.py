"""A scripted engine that writes reasoning piece by piece, as far as a test lets it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from service.engine import Begun, Output, PartialOutput, Prompt
from service.errors import EngineFailed
from tests.fakes import REASONING, ScriptedEngine, ScriptedJob, scripted_completion

PIECES = [REASONING[:10], REASONING[10:12], REASONING[12:]]


@dataclass
class WritingEngine(ScriptedEngine):
    """Writes `pieces` on each document. A passage `stop` gets a first piece and no verdict until `go` is set from the
    engine's own loop (`let_go`); one that begins with `break` fails behind its first piece, the first time."""

    pieces: Callable[[str], Sequence[str]] = lambda _: PIECES
    go: asyncio.Event = field(default_factory=asyncio.Event)
    loop: asyncio.AbstractEventLoop | None = None
    broken: set[str] = field(default_factory=set)

    def let_go(self) -> None:
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.go.set)

    async def submit(self, prompts: Sequence[Prompt]) -> AsyncGenerator[Output]:
        self.loop = asyncio.get_running_loop()
        job = ScriptedJob.of(prompts)
        self.jobs.append(job)
        self.running += len(prompts)
        left = len(prompts)
        try:
            for index, (prompt, passage) in enumerate(zip(prompts, job.passages, strict=True)):
                await self._work(passage)
                if prompt.budget:
                    yield Begun(index)
                for number, piece in enumerate(self.pieces(passage) if prompt.stream else (), 1):
                    yield PartialOutput(index, piece, number)
                    if passage.startswith("break") and passage not in self.broken:
                        self.broken.add(passage)
                        raise EngineFailed("The engine failed once.")
                    await asyncio.sleep(0)
                if passage == "stop":
                    await self.go.wait()
                self.running -= 1
                left -= 1
                yield scripted_completion(
                    index, prompt, self.log_odds(job.query, passage), reasoning="".join(self.pieces(passage))
                )
        finally:
            self.running -= left
