"""Who is let in: a bounded queue in documents and tokens, and no call that could not be answered in time."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from service.engine import Mode
from service.errors import BodyTooLarge, DeadlineExceeded, ServiceError, Unavailable
from service.lifecycle import Lifecycle, Phase
from service.scheduling.throughput import Throughput
from service.scheduling.window import Answer, FairWindow, Work

# After its deadline a reasoning call has only verdict steps left; one that takes longer than this is stuck.
_REASONING_GRACE_SECONDS = 10.0
_LONGEST_RETRY_AFTER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """The most that may wait for a seat: documents, and their estimated tokens."""

    documents: int
    tokens: int


class Admission:
    """Admits calls to the window, all or nothing, and watches their deadlines."""

    def __init__(
        self,
        window: FairWindow,
        lifecycle: Lifecycle,
        limits: QueueLimits,
        throughput: Throughput,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._window = window
        self._lifecycle = lifecycle
        self._limits = limits
        self._throughput = throughput
        self._clock = clock
        self._waiting_for_idle: list[asyncio.Future[None]] = []
        self._active = 0

    async def score(self, work: Work) -> Answer:
        """Score an admitted call. Raise Unavailable or BodyTooLarge at the door, DeadlineExceeded behind it."""
        self._check(work)
        grace = _REASONING_GRACE_SECONDS if work.mode is Mode.REASONING else 0.0
        self._active += 1
        try:
            async with asyncio.timeout(work.deadline + grace - self._clock()):
                return await self._window.run(work)
        except TimeoutError:
            raise DeadlineExceeded(
                f"Not all of the {len(work.costs)} documents could be scored before the deadline; "
                "send fewer, allow more time, or retry when the server is less busy."
            ) from None
        finally:
            self._active -= 1
            self._tell_idle()

    def fail_all(self, error: ServiceError) -> None:
        """End every call that is not answered yet: the engine cannot go on."""
        self._window.fail_all(error)

    @property
    def active(self) -> int:
        """Calls that are not answered yet."""
        return self._active

    async def idle(self) -> None:
        """Return when no call is left."""
        if self._active:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting_for_idle.append(future)
            await future

    def estimated_wait(self, work: Work) -> float:
        """Seconds until the last document of a call would enter the engine: round-robin, no call ahead of it gets
        more than what the call itself needs before its own documents are through."""
        cost = sum(work.costs)
        ahead = self._window.queued_cost(most_per_call=cost, priority=work.job.priority)
        return sum(self._throughput.seconds_for(mode, amount) for mode, amount in ahead.items())

    def _check(self, work: Work) -> None:
        if not self._lifecycle.accepting:
            leaving = self._lifecycle.phase in (Phase.LEAVING, Phase.DRAINING)
            raise Unavailable(self._lifecycle.reason, reason="draining" if leaving else "not_ready", retry_after=5.0)
        self._check_room(work)
        now = self._clock()
        wait = self.estimated_wait(work)
        if work.deadline <= now:
            raise DeadlineExceeded("The deadline had passed before the call could be admitted.")
        if now + wait > work.deadline:
            raise Unavailable(
                f"The estimated wait is {wait:.1f} s, but the call's deadline is in {work.deadline - now:.1f} s.",
                reason="deadline",
                retry_after=self._clamped(now + wait - work.deadline),
            )

    def _check_room(self, work: Work) -> None:
        documents, tokens = len(work.costs), sum(work.costs)
        if documents > self._limits.documents or tokens > self._limits.tokens:
            raise BodyTooLarge(
                f"The call's {documents} documents (about {int(tokens)} tokens of work) exceed what this server queues "
                f"in all ({self._limits.documents} documents, {self._limits.tokens} tokens); send it in parts."
            )
        queued = self._window.queued_cost()
        too_many = self._window.queued + documents > self._limits.documents
        if too_many or sum(queued.values()) + tokens > self._limits.tokens:
            wait = sum(self._throughput.seconds_for(mode, cost) for mode, cost in queued.items())
            raise Unavailable(
                f"The queue is full ({self._window.queued} documents wait); retry later.",
                reason="queue_full",
                retry_after=self._clamped(wait / 2),
            )

    def _clamped(self, seconds: float) -> float:
        return min(max(1.0, math.ceil(seconds)), _LONGEST_RETRY_AFTER_SECONDS)

    def _tell_idle(self) -> None:
        if not self._active:
            for future in self._waiting_for_idle:
                if not future.done():
                    future.set_result(None)
            self._waiting_for_idle.clear()
