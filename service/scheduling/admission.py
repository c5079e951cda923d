"""Who is let in: a bounded queue in documents and tokens, and no call that could not be answered in time; and what ends
a call early: its deadline, or its client."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from service.engine import Scoring
from service.errors import BodyTooLarge, ClientLeft, DeadlineExceeded, ServiceError, Unavailable
from service.lifecycle import Lifecycle, Phase
from service.scheduling.calls.entry import Entry
from service.scheduling.overload import Overload, retry_after
from service.scheduling.shares import NoRoom, QueueLimits, Taken, has_room, make_room
from service.scheduling.throughput import Throughput
from service.scheduling.window import Window
from service.scheduling.work import Answer, Incoming, Work

# After its deadline a reasoning call has only verdict steps left; one that takes longer than this is stuck.
_REASONING_GRACE_SECONDS = 10.0


Leaving = Callable[[], Coroutine[Any, Any, None]]
"""Returns once the client of a call has left."""


Follow = Callable[[Work, Callable[[Work], Awaitable[Answer]]], Awaitable[Answer]]
"""Makes the answer of a call from its ids and what scores some of them in the engine, as often as it is needed."""


async def never() -> None:
    """The client stays."""
    await asyncio.Event().wait()


@dataclass(eq=False, slots=True)
class _Call:
    """An admitted call. `work`: its ids to come; `entry`: its place in the window, once it has one, and of its
    present part where it comes in several; `over`: it has failed, with `error`; `begun`: the engine has begun on it."""

    incoming: Incoming
    work: asyncio.Future[Work]
    entry: Entry | None = None
    over: bool = False
    error: ServiceError | None = None
    parts: int = 0

    @property
    def key(self) -> str:
        return self.incoming.key

    @property
    def documents(self) -> int:
        """Those that wait."""
        if self.over:
            return 0
        return self.incoming.documents if self.entry is None else self.entry.queued

    @property
    def tokens(self) -> float:
        """Of those that wait; counted once they are encoded."""
        return 0 if self.entry is None else self.entry.queued_tokens

    @property
    def begun(self) -> bool:
        return self.entry is not None and (self.parts > 1 or self.entry.begun is not None)

    def fail(self, error: ServiceError) -> None:
        self.over, self.error = True, error
        if self.entry is not None:
            self.entry.fail(error)
        elif not self.work.done():
            self.work.set_exception(error)


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
        self._overload = Overload(window, throughput, clock)
        self._clock = clock
        self._waiting_for_idle: list[asyncio.Future[None]] = []
        self._calls: dict[_Call, None] = {}  # that are not answered yet, oldest first
        self._encoding: Counter[str] = Counter()  # documents of calls that have not entered the window, by key

    def check(self, call: Incoming) -> None:
        """Refuse what can be refused before a call is encoded. Raise as `score` does at the door."""
        self._check(call)

    def _check(self, call: Incoming) -> Sequence[_Call]:
        """As `check`; returns those that have to make room for it."""
        if not self._lifecycle.accepting:
            leaving = self._lifecycle.phase in (Phase.LEAVING, Phase.DRAINING)
            raise Unavailable(self._lifecycle.reason, reason="draining" if leaving else "not_ready", retry_after=5.0)
        going = self._to_make_room(call, call.least_tokens)
        self._overload.check(call, call.least_tokens - call.budget * call.documents)
        return going

    def seconds_for(self, call: Incoming) -> float:
        """What the engine needs for the prompts of a call, had it nothing else to do; 0 while nothing is known."""
        tokens = call.least_tokens - call.budget * call.documents
        return self._throughput.seconds_for(Scoring.DIRECT, max(0, tokens))

    async def score(
        self,
        call: Incoming,
        encode: Callable[[], Awaitable[Work]],
        client_leaves: Leaving = never,
        follow: Follow | None = None,
    ) -> Answer:
        """Let `encode` turn a call into ids, and score it once it is admitted. `follow` scores it in several parts.

        Raise Unavailable, BodyTooLarge or DeadlineExceeded at the door, before or after it was encoded; what `encode`
        raises; DeadlineExceeded behind the door; Unavailable also where it makes room for a call of another key;
        ClientLeft where `client_leaves` returns first. Nothing of it runs on then.
        """
        self._end(self._check(call))
        admitted = _Call(call, asyncio.get_running_loop().create_future())
        self._calls[admitted] = None
        self._encoding[call.key] += call.documents
        try:
            return await self._while_it_is_of_use(admitted, encode, client_leaves, follow)
        except ServiceError as error:
            error.begun = admitted.begun
            if isinstance(error, Unavailable):
                error.admitted = admitted.entry is not None or admitted.over
            raise
        finally:
            del self._calls[admitted]
            if admitted.entry is None:
                self._encoding[call.key] -= call.documents
            self._tell_idle()

    async def _while_it_is_of_use(
        self, call: _Call, encode: Callable[[], Awaitable[Work]], client_leaves: Leaving, follow: Follow | None
    ) -> Answer:
        """The answer, unless its deadline passes or its client leaves."""
        grace = _REASONING_GRACE_SECONDS if call.incoming.scoring is Scoring.REASONING else 0.0
        client = asyncio.create_task(client_leaves())
        try:
            async with asyncio.timeout(call.incoming.deadline + grace - self._clock()) as end:
                client.add_done_callback(lambda _: _end_now(end))
                return await self._answer(call, encode, follow)
        except TimeoutError:
            if client.done():
                raise ClientLeft("The client closed the connection before the answer was ready.") from None
            raise too_late(call.incoming.documents) from None
        finally:
            client.cancel()

    async def _answer(self, call: _Call, encode: Callable[[], Awaitable[Work]], follow: Follow | None) -> Answer:
        work = await self._encoded(call, encode)
        tokens = work.tokens
        going = self._to_make_room(call.incoming, tokens, besides=call, prompts=len(work.rests))
        self._overload.check(call.incoming, len(work.prefix.ids) + sum(work.lengths))
        self._end(going)
        run = partial(self._run, call)
        return await (run(work) if follow is None else follow(work, run))

    async def _run(self, call: _Call, work: Work) -> Answer:
        """Score a part of an admitted call, or all of it."""
        if call.error is not None:
            raise call.error
        first = call.entry is None
        call.entry = self._window.enter(work, after=call.entry)
        if first:
            self._encoding[call.key] -= call.documents
        call.parts += 1
        self._overload.entered(call.entry)
        return await self._window.answer(call.entry)

    def fail_all(self, error: ServiceError) -> None:
        """End every call that is not answered yet: the engine cannot go on."""
        for call in list(self._calls):
            call.fail(error)
        self._window.fail_all(error)

    async def _encoded(self, call: _Call, encode: Callable[[], Awaitable[Work]]) -> Work:
        """What `encode` makes, or the error that the call failed with meanwhile."""

        async def encode_into() -> None:
            try:
                work = await encode()
            except Exception as error:  # noqa: BLE001 - raised where it is awaited
                if not call.work.done():
                    call.work.set_exception(error)
            else:
                if not call.work.done():
                    call.work.set_result(work)

        task = asyncio.create_task(encode_into())
        try:
            return await call.work
        finally:
            task.cancel()

    @property
    def active(self) -> int:
        """Calls that are not answered yet."""
        return len(self._calls)

    async def idle(self) -> None:
        """Return when no call is left."""
        if self._calls:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting_for_idle.append(future)
            await future

    def _end(self, going: Sequence[_Call]) -> None:
        """Refuse calls that make room for another."""
        for call in going:
            call.fail(self._queue_full("The queue is full, and other keys take less of it; retry later."))

    def _to_make_room(
        self, call: Incoming, tokens: int, *, besides: _Call | None = None, prompts: int | None = None
    ) -> Sequence[_Call]:
        """Those that have to make room for a call (`shares`). `prompts`: what its documents have come to, where these
        are read in pieces. Raise for one that there is no room for."""
        limits = self._limits
        documents = call.documents if prompts is None else prompts
        if documents > limits.documents or tokens > limits.tokens:
            pieces = "" if documents == call.documents else f", read in {documents} pieces"
            raise BodyTooLarge(
                f"The call's {call.documents} documents{pieces} (about {tokens} tokens of work) exceed what this "
                f"server queues in all ({limits.documents} documents, {limits.tokens} tokens); send it in parts."
            )
        if self._has_room(call, documents, tokens, besides):
            return ()
        others = [other for other in self._calls if other is not besides]
        going = make_room(others, call.key, documents, tokens, limits)
        if isinstance(going, NoRoom):
            whose = f"{going.waiting} documents of this key" if going.of_key else f"{going.waiting} documents"
            raise self._queue_full(f"The queue is full ({whose} wait); retry later.")
        return going

    def _has_room(self, call: Incoming, documents: int, tokens: int, besides: _Call | None) -> bool:
        """True where nobody has to go, without a look at every call. What has failed still counts for a moment."""
        itself = 0 if besides is None else call.documents
        own, total = self._window.waiting(call.key), self._window.waiting()
        own = Taken(own.documents + self._encoding[call.key] - itself, own.tokens)
        total = Taken(total.documents + self._encoding.total() - itself, total.tokens)
        return has_room(own, total, documents, tokens, self._limits)

    def _queue_full(self, message: str) -> Unavailable:
        queued = self._window.queued_tokens()
        wait = sum(self._throughput.seconds_for(scoring, amount) for scoring, amount in queued.items())
        return Unavailable(message, reason="queue_full", retry_after=retry_after(wait / 2))

    def _tell_idle(self) -> None:
        if not self._calls:
            for future in self._waiting_for_idle:
                if not future.done():
                    future.set_result(None)
            self._waiting_for_idle.clear()


def too_late(documents: int) -> DeadlineExceeded:
    """The error of a call of which not every document has a score at its deadline."""
    return DeadlineExceeded(
        f"Not all of the {documents} documents could be scored before the deadline; "
        "send fewer, allow more time, or retry when the server is less busy."
    )


def _end_now(end: asyncio.Timeout) -> None:
    """Lets a time limit expire at once, where it has not ended yet."""
    with contextlib.suppress(RuntimeError):
        end.reschedule(asyncio.get_running_loop().time())
