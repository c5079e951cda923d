"""Who is let in: a bounded queue in documents and tokens, and no call that could not be answered in time."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.engine import Scoring
from service.errors import BodyTooLarge, DeadlineExceeded, ServiceError, Unavailable
from service.lifecycle import Lifecycle, Phase
from service.scheduling.throughput import Throughput
from service.scheduling.window import Window
from service.scheduling.work import Answer, Incoming, Work

# After its deadline a reasoning call has only verdict steps left; one that takes longer than this is stuck.
_REASONING_GRACE_SECONDS = 10.0
_LONGEST_RETRY_AFTER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """The most that may wait for the engine: documents, and tokens of work."""

    documents: int
    tokens: int


class Admission:
    """Admits calls to the window, all or nothing, and watches their deadlines."""

    def __init__(
        self,
        window: Window,
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
        self._encoding: dict[asyncio.Future[Work], int] = {}  # calls that are being encoded, with their documents

    def check(self, call: Incoming) -> None:
        """Refuse what can be refused before a call is encoded. Raise as `score` does at the door."""
        if not self._lifecycle.accepting:
            leaving = self._lifecycle.phase in (Phase.LEAVING, Phase.DRAINING)
            raise Unavailable(self._lifecycle.reason, reason="draining" if leaving else "not_ready", retry_after=5.0)
        self._check_room(call.documents, call.least_tokens)
        self._check_deadline(call, call.least_tokens)

    async def score(self, call: Incoming, encode: Callable[[], Awaitable[Work]]) -> Answer:
        """Let `encode` turn a call into ids, and score it once it is admitted.

        Raise Unavailable, BodyTooLarge or DeadlineExceeded at the door, before or after it was encoded; what `encode`
        raises; DeadlineExceeded behind the door.
        """
        self.check(call)
        grace = _REASONING_GRACE_SECONDS if call.scoring is Scoring.REASONING else 0.0
        self._active += 1
        try:
            async with asyncio.timeout(call.deadline + grace - self._clock()):
                work = await self._encoded(call, encode)
                tokens = work.tokens
                self._check_room(call.documents, tokens)
                self._check_deadline(call, tokens)
                return await self._window.run(work)
        except TimeoutError:
            raise DeadlineExceeded(
                f"Not all of the {call.documents} documents could be scored before the deadline; "
                "send fewer, allow more time, or retry when the server is less busy."
            ) from None
        finally:
            self._active -= 1
            self._tell_idle()

    def fail_all(self, error: ServiceError) -> None:
        """End every call that is not answered yet: the engine cannot go on."""
        for encoded in self._encoding:
            if not encoded.done():
                encoded.set_exception(error)
        self._window.fail_all(error)

    async def _encoded(self, call: Incoming, encode: Callable[[], Awaitable[Work]]) -> Work:
        """What `encode` makes, or the error of `fail_all`."""
        encoded: asyncio.Future[Work] = asyncio.get_running_loop().create_future()

        async def encode_into() -> None:
            try:
                work = await encode()
            except Exception as error:  # noqa: BLE001 - raised where it is awaited
                if not encoded.done():
                    encoded.set_exception(error)
            else:
                if not encoded.done():
                    encoded.set_result(work)

        task = asyncio.create_task(encode_into())
        self._encoding[encoded] = call.documents
        try:
            return await encoded
        finally:
            del self._encoding[encoded]
            task.cancel()

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

    def estimated_wait(self, tokens: float, priority: int) -> float:
        """Seconds until the last document of a call of so many tokens would enter the engine: calls take turns, so no
        call ahead of it gets more than what the call itself needs before its own documents are through."""
        ahead = self._window.queued_tokens(most_per_call=tokens, priority=priority)
        return sum(self._throughput.seconds_for(scoring, amount) for scoring, amount in ahead.items())

    def _check_deadline(self, call: Incoming, tokens: int) -> None:
        now = self._clock()
        wait = self.estimated_wait(tokens, call.priority)
        if call.deadline <= now:
            raise DeadlineExceeded("The deadline had passed before the call could be admitted.")
        if now + wait > call.deadline:
            raise Unavailable(
                f"The estimated wait is {wait:.1f} s, but the call's deadline is in {call.deadline - now:.1f} s.",
                reason="deadline",
                retry_after=self._clamped(now + wait - call.deadline),
            )

    def _check_room(self, documents: int, tokens: int) -> None:
        if documents > self._limits.documents or tokens > self._limits.tokens:
            raise BodyTooLarge(
                f"The call's {documents} documents (about {tokens} tokens of work) exceed what this server queues "
                f"in all ({self._limits.documents} documents, {self._limits.tokens} tokens); send it in parts."
            )
        queued = self._window.queued_tokens()
        waiting = self._window.queued + sum(self._encoding.values())
        if waiting + documents > self._limits.documents or sum(queued.values()) + tokens > self._limits.tokens:
            wait = sum(self._throughput.seconds_for(scoring, amount) for scoring, amount in queued.items())
            raise Unavailable(
                f"The queue is full ({waiting} documents wait); retry later.",
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
