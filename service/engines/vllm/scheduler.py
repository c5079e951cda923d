"""Feeds documents to vLLM a few steps ahead of it, call by call, and takes each one through trace and verdict.

vLLM orders requests by priority and arrival alone. So what waits, waits here, in the order of `DocumentQueue`, and a
call that arrives stands behind some steps of another call's documents instead of behind all of them.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import aclosing
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from contract.segments import Segments
from contract.verdict import Temperatures
from service.engine import Status, Verdict
from service.engines.causal.queue import DocumentQueue
from service.engines.causal.sequences import Document, Submission
from service.engines.vllm import deadlines
from service.engines.vllm.fairness import CallShares
from service.engines.vllm.flight import Flight
from service.engines.vllm.requests import Asked, Requests, Words, Written
from service.engines.vllm.speed import VerdictPace
from service.engines.vllm.trace import EndedTrace, TraceReader
from service.errors import EngineDead

_log = logging.getLogger("limrank.vllm_scheduler")
_TURN_TOKENS = 2048
_DEADLINE_TICK_SECONDS = (0.02, 0.1)  # at least, at most; in between a twentieth of the time that is left
_ABORT_AGAIN_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class SchedulerLimits:
    """`tokens`: the most prompt tokens given to vLLM and not computed yet; `tokens_behind`: the same for documents of a
    call that goes behind another one's. `block`: tokens of one block of its cache.
    """

    tokens: int
    tokens_behind: int
    block: int
    ranks: int


class VllmScheduler:
    """Runs on one event loop. `verdict_steps`: verdicts that took a request of their own after the trace; `recomputed`:
    tokens of prompts and traces that these computed again."""

    def __init__(
        self,
        requests: Requests,
        segments: Segments,
        reader: TraceReader,
        limits: SchedulerLimits,
        temperatures: Temperatures,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._requests = requests
        self._segments = segments
        self._reader = reader
        self._limits = limits
        self._temperatures = temperatures
        self._clock = clock
        self._queue = DocumentQueue(_TURN_TOKENS, clock)
        self._flights: dict[Flight, None] = {}  # in the order of their departure
        self._shares = CallShares(_TURN_TOKENS)
        self._waiting_tokens = 0
        self._names = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Task[None] | None = None
        self._pace = VerdictPace(clock)
        self._closed = False
        self.verdict_steps = 0
        self.recomputed = 0
        self.events = 0

    @property
    def unfinished(self) -> int:
        """Documents in vLLM."""
        return len(self._flights)

    def add(self, documents: Iterable[Document]) -> None:
        documents = list(documents)
        self._shares.added(documents)
        self._queue.add(documents)
        if self._timer is None and self._earliest_deadline() is not None:
            self._timer = asyncio.get_running_loop().create_task(self._meet_deadlines())
        self._feed()

    def cancel(self, submission: Submission) -> None:
        """Forget what is left of a job, also within vLLM."""
        submission.cancelled = True
        self._shares.dropped(self._queue.discard(submission))
        flights = [flight for flight in self._flights if flight.document.submission is submission]
        for flight in flights:
            flight.given_up = True
        self._abort_until_gone(flights)

    def die(self, error: EngineDead) -> None:
        """Answer everything with `error`."""
        self._closed = True
        for document in [*self._queue, *(flight.document for flight in self._flights)]:
            document.submission.die(error)
        for task in self._tasks:
            task.cancel()

    def _feed(self) -> None:
        """Submit documents until vLLM has enough to compute."""
        while not self._closed and self._waiting_tokens < self._limits.tokens:
            document = self._next()
            if document is None:
                return
            self._queue.remove(document)
            flight = Flight(document, f"{next(self._names)}", self._cost(document), self._rank())
            self._queue.charge(document.call, flight.cost)
            self._shares.departed(document, flight.cost)
            self._waiting_tokens += flight.cost
            self._flights[flight] = None
            self._start(self._fly(flight), document.submission.context)

    def _next(self) -> Document | None:
        """The next document; one of a call that goes behind only if vLLM has little to compute."""
        if self._waiting_tokens < self._limits.tokens_behind:
            return self._queue.next(lambda _: True)
        new, now = self._shares.first_of_the_new, self._clock()
        return self._queue.next(lambda document: not self._shares.goes_behind(document, new, now))

    def _cost(self, document: Document) -> int:
        prefix = 0 if self._shares.in_flight(document.call) else len(document.prefix)
        return prefix + len(document.rest) + len(self._segments.close)

    def _rank(self) -> int | None:
        if self._limits.ranks == 1:
            return None
        loads = [0] * self._limits.ranks
        for flight in self._flights:
            loads[flight.rank or 0] += 1
        return loads.index(min(loads))

    async def _fly(self, flight: Flight) -> None:
        document = flight.document
        try:
            verdict = await self._reasoned(flight) if document.budget else await self._direct(flight)
            if verdict is not None:
                document.submission.deliver([verdict])
                self.events += 1  # and not for what is given up: that ends here, whether or not the engine moves
        except EngineDead as error:
            document.submission.die(error)
        except Exception as error:  # noqa: BLE001 - whatever vLLM raises for a request, its document fails, others go on
            _log.error("request_failed", exc_info=error)
            document.submission.fail([document.index], f"{type(error).__name__}: {error}")
        finally:
            del self._flights[flight]
            self._shares.ended(document)
            self._computed(flight)

    async def _direct(self, flight: Flight) -> Verdict | None:
        document = flight.document
        ids = self._segments.context([*document.prefix, *document.rest])
        words = await self._words(flight, ids, flight.document_priority)
        if words is None:
            return None
        document.prefix_computed = max(0, len(document.prefix) - words.cached)
        return self._verdict(flight, words, document.status, document.trace, 0)

    async def _reasoned(self, flight: Flight) -> Verdict | None:
        document = flight.document
        prompt = [*document.prefix, *document.rest]
        written = await self._trace(flight, prompt)
        if flight.given_up:
            return None
        document.prefix_computed = max(0, len(document.prefix) - written.cached)
        trace = self._reader.read(written.ids, flight.closed_because)
        words = _words_behind(written, trace) or await self._asked_again(flight, [*prompt, *trace.ids])
        return None if words is None else self._verdict(flight, words, trace.status, trace.text, trace.tokens)

    async def _asked_again(self, flight: Flight, ids: list[int]) -> Words | None:
        words = await self._words(flight, ids, flight.verdict_priority)
        if words is not None:
            self.verdict_steps += 1
            self.recomputed += len(ids) - words.cached
        return words

    async def _trace(self, flight: Flight, prompt: list[int]) -> Written:
        asked = Asked(flight.trace_name, flight.document_priority, flight.rank)
        written, since = Written((), 0), 0.0
        async with aclosing(self._requests.trace(asked, prompt, flight.document.budget)) as news:
            async for each in news:
                now, grown = self._clock(), len(each.ids) - len(written.ids)
                self.events += grown > 0
                if flight.begun:
                    self._pace.wrote(grown, now - since)
                elif each.ids:
                    flight.begun = True
                    self._computed(flight)
                looped = self._reader.looped_at(each.ids, len(written.ids)) if flight.writing else None
                written, since = each, now
                if looped is not None:
                    flight.closed_because = Status.REPETITION
                    written = Written(each.ids[:looped], each.cached)
                    self._abort_until_gone([flight])
                    return await _last(news, written)
        return written

    async def _words(self, flight: Flight, ids: list[int], priority: int) -> Words | None:
        if flight.given_up:
            return None
        flight.short = len(ids)
        self._pace.began()
        words: Words | None = None
        try:
            words = await self._requests.words(Asked(flight.verdict_name, priority, flight.rank), ids)
        finally:
            self._pace.ended(0 if words is None else len(ids) - words.cached)
        return words

    def _verdict(self, flight: Flight, words: Words, status: Status, trace: str | None, tokens: int) -> Verdict:
        odds = self._temperatures.log_odds(true=words.true, false=words.false, trace_tokens=tokens)
        return flight.document.verdict(odds, status, trace, tokens)

    def _computed(self, flight: Flight) -> None:
        """Its prompt is computed: others may follow."""
        self._waiting_tokens -= flight.cost
        flight.cost = 0
        self._feed()

    async def _meet_deadlines(self) -> None:
        """End traces that are due, and those that cannot begin in time before they begin."""
        least, most = _DEADLINE_TICK_SECONDS
        while (earliest := self._earliest_deadline()) is not None:
            self._close_what_is_due()
            await asyncio.sleep(max(least, min(most, (earliest - self._clock()) / 20)))
        self._timer = None

    def _earliest_deadline(self) -> float | None:
        """Of documents whose trace may have to be ended for it."""
        waiting = (document for document in self._queue if document.budget)
        writing = (flight.document for flight in self._flights if flight.writing)
        timed = (one.deadline for one in itertools.chain(waiting, writing) if one.deadline is not None)
        return min(timed, default=None)

    def _close_what_is_due(self) -> None:
        verdict = self._limits.block + len(self._segments.close)
        ready = self._clock() + self._pace.entry_seconds
        due = deadlines.due(self._flights, self._queue, ready, self._pace.token_seconds, verdict)
        for flight in due.flights:
            flight.closed_because = Status.DEADLINE
        self._abort_until_gone(due.flights)
        for document in due.documents:
            self._queue.remove(document)
            document.end_before_trace(Status.DEADLINE)
            document.priority = 0
        if due.documents:
            self._queue.add(due.documents)
            self._feed()

    def _abort_until_gone(self, flights: list[Flight]) -> None:
        """vLLM forgets an abort that comes while the request is being submitted; so it is told until it has ended."""
        if flights:
            self._start(self._keep_aborting(flights))

    async def _keep_aborting(self, flights: list[Flight]) -> None:
        while names := [name for flight in flights if flight in self._flights for name in _names_to_abort(flight)]:
            await self._requests.abort(names)
            await asyncio.sleep(_ABORT_AGAIN_SECONDS)

    def _start(self, work: Coroutine[Any, Any, None], context: Context | None = None) -> None:
        task = asyncio.get_running_loop().create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _words_behind(written: Written, trace: EndedTrace) -> Words | None:
    """The verdict in the place behind a close of the model's own, if it wrote on: what follows in `written` began
    with the same ids as a request for the verdict would.
    """
    at = len(trace.ids)
    if trace.status is not Status.COMPLETE or at >= len(written.words):
        return None
    true, false = written.words[at]
    return Words(true, false, at)


def _names_to_abort(flight: Flight) -> list[str]:
    """Given up: whatever runs for it. Else only its trace, until its verdict is asked for."""
    if flight.given_up:
        return [flight.trace_name, flight.verdict_name]
    return [] if flight.short else [flight.trace_name]


async def _last(news: AsyncGenerator[Written], written: Written) -> Written:
    """Wait until the aborted request has ended, so that the verdict finds its blocks in the cache."""
    async for _ in news:
        pass
    return written
