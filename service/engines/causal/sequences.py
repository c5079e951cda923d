"""A document on its way through the engine, and the mailbox that takes its verdict back to the caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field

from service.engine import Status, Verdict
from service.errors import EngineDead, EngineFailed


@dataclass(frozen=True, slots=True)
class _Failure:
    """Documents that got no verdict, and why."""

    indices: tuple[int, ...]
    reason: str


class Submission:
    """The documents of one job. Built on the event loop; the engine's thread calls `deliver`, `fail` and `die`."""

    def __init__(self, count: int) -> None:
        self.cancelled = False
        self._left = count
        self._loop = asyncio.get_running_loop()
        self.context = copy_context()  # of the call, for what is logged on its documents
        self._mail: asyncio.Queue[Sequence[Verdict] | _Failure | EngineDead] = asyncio.Queue()

    def deliver(self, verdicts: Sequence[Verdict]) -> None:
        self._post(verdicts)

    def fail(self, indices: Sequence[int], reason: str) -> None:
        self._post(_Failure(tuple(indices), reason))

    def die(self, error: EngineDead) -> None:
        self._post(error)

    async def verdicts(self) -> AsyncIterator[Verdict]:
        """Every verdict as it comes; at the end EngineFailed if some documents got none. Raise EngineDead at once."""
        failures: list[_Failure] = []
        while self._left:
            mail = await self._mail.get()
            if isinstance(mail, EngineDead):
                raise mail
            if isinstance(mail, _Failure):
                self._left -= len(mail.indices)
                failures.append(mail)
                continue
            self._left -= len(mail)
            for verdict in mail:
                yield verdict
        if failures:
            indices = sorted(index for failure in failures for index in failure.indices)
            raise EngineFailed(f"The engine failed on {len(indices)} passages: {failures[0].reason}", indices)

    def _post(self, mail: Sequence[Verdict] | _Failure | EngineDead) -> None:
        if self.cancelled:
            return
        try:
            self._loop.call_soon_threadsafe(self._mail.put_nowait, mail)
        except RuntimeError:  # the loop was closed: nobody waits any more
            self.cancelled = True


@dataclass(eq=False, slots=True)
class Document:
    """One passage in ids: its prompt is `prefix` + `rest`. `budget` is the most tokens of its trace, 0 for none.

    `status` and `trace` are those of the verdict when no trace is written. `deadline` and `arrived` are
    `time.monotonic()` instants. `done` tokens of `rest` are already computed; `prefix_computed` tokens of the prefix
    were computed on behalf of this document, the others it found in the cache.
    """

    submission: Submission
    index: int
    call: str
    priority: int
    prefix: tuple[int, ...]
    rest: Sequence[int]
    budget: int
    truncated: bool
    deadline: float | None
    arrived: float
    status: Status = Status.COMPLETE
    trace: str | None = None
    done: int = field(default=0, init=False)
    prefix_computed: int = field(default=0, init=False)

    @property
    def left(self) -> int:
        """Tokens of the passage that are still to be computed."""
        return len(self.rest) - self.done

    def end_before_trace(self, status: Status) -> None:
        """Make it a direct verdict, because its trace cannot be written."""
        self.budget, self.status, self.trace = 0, status, ""

    def verdict(self, log_odds: float, status: Status, trace: str | None, reasoning_tokens: int) -> Verdict:
        return Verdict(
            index=self.index,
            log_odds=log_odds,
            status=status,
            trace=trace,
            prompt_tokens=len(self.prefix) + len(self.rest),
            cached_tokens=max(0, len(self.prefix) - self.prefix_computed),  # it may have been computed again
            reasoning_tokens=reasoning_tokens,
            truncated=self.truncated,
        )
