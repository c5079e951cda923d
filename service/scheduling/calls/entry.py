"""A call that is in the window or waits for it, and those of its documents that were handed over together."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field

from service.engine import Completion, PartialOutput
from service.errors import ServiceError
from service.scheduling.calls.queued import QueuedCall
from service.scheduling.shares import Taken
from service.scheduling.work import Work


@dataclass(eq=False, slots=True)
class Entry:
    """A call on its way. `held`: documents in the engine; `queued_tokens`: of those that are not. `left`: tokens of the
    prompts that have no completion, and those of them `in_engine`. `begun`: when the first of them entered it.
    `reason_until`: when reasoning has to be over for the sake of other calls. `counts`: what waits of its key, of its
    scoring, and in all."""

    work: Work
    place: QueuedCall
    costs: Sequence[int]
    arrived: float
    finished: asyncio.Future[None]
    counts: Sequence[Taken]
    queued_tokens: int
    left: int
    in_engine: int = 0
    held: int = 0
    reason_until: float = math.inf
    begun: float | None = None
    context: Context = field(default_factory=copy_context)  # of the call, for what is logged on its documents
    completions: dict[int, Completion] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def queued(self) -> int:
        """Its documents that are not in the engine yet."""
        return len(self.place.pending)

    def hand_over(self, index: int, tokens: int) -> None:
        """A document waits no longer, and so many tokens."""
        self.in_engine += self.place.tokens[index]
        self.queued_tokens -= tokens
        for taken in self.counts:
            taken.change(-1, -tokens)

    def drop(self) -> None:
        """Nothing of it waits any more."""
        for taken in self.counts:
            taken.change(-self.queued, -self.queued_tokens)
        self.place.pending.clear()
        self.queued_tokens = 0

    def fail(self, error: ServiceError) -> None:
        self.drop()
        if not self.finished.done():
            self.finished.set_exception(error)

    def tell(self, output: PartialOutput | Completion) -> None:
        """Tell the call what came, where it listens and has not ended."""
        progress = self.work.progress
        if progress is None or self.finished.done():
            return
        if isinstance(output, PartialOutput):
            progress.wrote(output)
        else:
            progress.scored(output)


@dataclass(slots=True)
class Slice:
    """Documents of one call that were handed over together. `tokens`: of those that are not computed yet; `seated`:
    those that hold a slot, in the order in which they were handed out; `first`: see `Prompt`."""

    entry: Entry
    tokens: dict[int, int]
    seated: dict[int, None]
    first: bool
