"""A scripted engine that writes traces: their lengths and verdicts are in the passages."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from contract.reasoning import Status
from service.engine import Completion, Prompt
from tests.fakes import ScriptedEngine, text_of

TOKEN = 7  # of every trace


@dataclass
class ReasoningEngine(ScriptedEngine):
    """A passage `direct|reasoned|tokens` has these log-odds, and its trace so many tokens; behind a part of it the
    verdict is on its way. `stuck_behind`: it never answers where so many tokens were written. It ends a trace
    where the prompt's deadline has passed. `written` counts all tokens."""

    stuck_behind: int | None = None
    written: int = 0

    def _completion(self, index: int, prompt: Prompt, log_odds: float) -> Completion:
        direct, reasoned, tokens = map(float, text_of(prompt.rest).split("|"))
        before = len(prompt.written)
        assert list(prompt.written) == [TOKEN] * before
        upto = min(int(tokens), before + prompt.budget)
        late = prompt.budget > 0 and prompt.deadline is not None and prompt.deadline <= time.monotonic()
        if late:
            upto = before
        self.written += upto - before
        status = Status.COMPLETE if upto == tokens or not prompt.budget else Status.BUDGET
        return Completion(
            index=index,
            answers=(direct + (reasoned - direct) * upto / tokens, 0.0),
            status=Status.DEADLINE if late else status,
            reasoning="because " * upto if upto or prompt.budget else None,
            reasoning_tokens=upto,
            written=[TOKEN] * upto,
            cached_tokens=20,
        )

    async def _work(self, passage: str) -> None:
        if self.stuck_behind is not None and self.written >= self.stuck_behind:
            await asyncio.Event().wait()
        await super()._work(passage)


def passage(direct: float, reasoned: float, tokens: int) -> str:
    return f"{direct!r}|{reasoned!r}|{tokens}"


def by_direct(_: str, text: str) -> float:
    return float(text.split("|", maxsplit=1)[0])
