"""The window of documents that are in the engine at one time, filled round-robin by call.

A call that is alone may hold every seat; while another waits it holds at most half, and where others come and go it
leaves some free for the next one, since a seat that a trace has taken is not given back before the trace ends.
Classes of priority go before each other, but a call gains a class for every `AGEING_SECONDS` it has waited, so none
starves.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace

from service.engine import AGEING_SECONDS, Engine, Job, Mode, Verdict
from service.errors import BadRequest, EngineDead, EngineFailed, PassageTooLong, ServiceError
from service.ranking import Progress
from service.scheduling.throughput import Throughput

_log = logging.getLogger("limrank.window")
_SEATS_FOR_THE_NEXT = 16  # enough for a usual small call; never more than half of all
_COMPANY_SECONDS = 1.0  # for so long after another call a call does not count as alone


@dataclass(frozen=True, slots=True)
class Work:
    """One admitted call: `job` holds all its passages, `costs` the work each one is (estimated tokens)."""

    job: Job
    mode: Mode
    budget: int
    deadline: float
    costs: tuple[float, ...]
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True, slots=True)
class Answer:
    """Verdicts in the order of the passages, and when (monotonic seconds) the first of them entered the engine."""

    verdicts: tuple[Verdict, ...]
    begun: float


@dataclass(eq=False, slots=True)
class _Ticket:
    work: Work
    arrived: float
    finished: asyncio.Future[None]
    pending: deque[int]
    queued_cost: float
    held: int = 0
    begun: float | None = None
    context: Context = field(default_factory=copy_context)  # of the call, for what is logged on its documents
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def fail(self, error: ServiceError) -> None:
        self.pending.clear()
        self.queued_cost = 0.0
        if not self.finished.done():
            self.finished.set_exception(error)


class FairWindow:
    """Seats for `size` documents in `engine`. Runs on one event loop."""

    def __init__(
        self, engine: Engine, size: int, throughput: Throughput, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._size = size
        self._throughput = throughput
        self._clock = clock
        self._tickets: deque[_Ticket] = deque()
        self._free = size
        self._fill_due = False
        self._company_until = -math.inf

    @property
    def running(self) -> int:
        """Documents in the engine."""
        return self._size - self._free

    @property
    def queued(self) -> int:
        """Documents admitted and not yet in the engine."""
        return sum(len(ticket.pending) for ticket in self._tickets)

    @property
    def calls(self) -> int:
        """Calls that are not answered yet."""
        return len(self._tickets)

    def queued_cost(self, most_per_call: float = math.inf, priority: int | None = None) -> dict[Mode, float]:
        """Queued work by mode; of each call at most `most_per_call`, and only of calls not behind `priority`."""
        total = dict.fromkeys(Mode, 0.0)
        for ticket in self._tickets:
            if priority is None or self._class_of(ticket) <= priority:
                total[ticket.work.mode] += min(ticket.queued_cost, most_per_call)
        return total

    async def run(self, work: Work) -> Answer:
        """Score every passage of a call. Raise the ServiceError that ended it; cancelling frees all its seats."""
        loop = asyncio.get_running_loop()
        count = len(work.job.passages)
        ticket = _Ticket(work, self._clock(), loop.create_future(), deque(range(count)), sum(work.costs))
        self._tickets.append(ticket)
        self._fill_soon()
        try:
            await ticket.finished
        finally:
            self._tickets.remove(ticket)
            ticket.pending.clear()
            for task in ticket.tasks:
                task.cancel()
            self._fill_soon()
        return Answer(tuple(ticket.verdicts[index] for index in range(count)), ticket.begun or ticket.arrived)

    def fail_all(self, error: ServiceError) -> None:
        """End every call with `error`."""
        for ticket in list(self._tickets):
            ticket.fail(error)

    def _fill_soon(self) -> None:
        """Fill once for all the seats that come free in this turn of the event loop."""
        if not self._fill_due:
            self._fill_due = True
            asyncio.get_running_loop().call_soon(self._fill)

    def _fill(self) -> None:
        """Give every free seat away: class by class, round-robin within a class."""
        self._fill_due = False
        # Not those that have ended, whose task has not come to its turn: it would cancel what is begun for them before
        # that has begun, and nobody would give the seats back.
        waiting = [ticket for ticket in self._tickets if ticket.pending and not ticket.finished.done()]
        alone = len(waiting) == 1
        most = self._most_seats(len(waiting))
        shares: dict[_Ticket, int] = {}
        for _, same_class in itertools.groupby(sorted(waiting, key=self._class_of), self._class_of):
            self._deal(deque(same_class), most, shares, at_once=alone)
        if shares:
            self._tickets = deque([*(t for t in self._tickets if t not in shares), *shares])
        for ticket, share in shares.items():
            self._dispatch(ticket, share)

    def _most_seats(self, waiting: int) -> int:
        """How many a call may hold."""
        half, now = max(1, self._size // 2), self._clock()
        if len(self._tickets) > 1:
            self._company_until = now + _COMPANY_SECONDS
        if waiting > 1:
            return half
        return max(half, self._size - _SEATS_FOR_THE_NEXT) if now < self._company_until else self._size

    def _deal(self, turn: deque[_Ticket], most: int, shares: dict[_Ticket, int], *, at_once: bool) -> None:
        """Deal free seats to the calls in `turn`, one each time round or all at once, until none may hold more."""
        free = self._free - sum(shares.values())
        while free and turn:
            ticket = turn.popleft()
            share = shares.get(ticket, 0)
            able = min(len(ticket.pending), most - ticket.held) - share
            if able > 0:
                given = min(able, free) if at_once else 1
                shares.pop(ticket, None)  # the last one served goes to the end
                shares[ticket] = share + given
                free -= given
                turn.append(ticket)

    def _class_of(self, ticket: _Ticket) -> int:
        aged = int((self._clock() - ticket.arrived) / AGEING_SECONDS)
        return max(0, ticket.work.job.priority - aged)

    def _dispatch(self, ticket: _Ticket, share: int) -> None:
        indices = tuple(ticket.pending.popleft() for _ in range(share))
        ticket.queued_cost = max(0.0, ticket.queued_cost - sum(ticket.work.costs[i] for i in indices))
        ticket.begun = ticket.begun or self._clock()
        ticket.work.progress.begun = True
        ticket.held += share
        self._free -= share
        self._throughput.started(ticket.work.mode, share)
        task = asyncio.get_running_loop().create_task(self._score(ticket, indices), context=ticket.context)
        ticket.tasks.add(task)
        task.add_done_callback(ticket.tasks.discard)

    async def _score(self, ticket: _Ticket, indices: tuple[int, ...]) -> None:
        """Score some documents of a call; each one the engine fails on is tried once more, alone."""
        seated = set(indices)
        try:
            for failed in await self._try(ticket, indices, seated):
                if await self._try(ticket, (failed,), seated):
                    message = f"The engine could not score document {failed}, also when it was alone."
                    raise EngineFailed(message, (failed,))
        except ServiceError as error:
            ticket.fail(error)
        finally:
            self._throughput.abandoned(ticket.work.mode, len(seated))
            self._release(ticket, len(seated))

    async def _try(self, ticket: _Ticket, indices: tuple[int, ...], seated: set[int]) -> list[int]:
        """One attempt. Returns the documents that got no verdict; raises what no second attempt can mend."""
        work = ticket.work
        job = replace(work.job, passages=tuple(work.job.passages[i] for i in indices))
        missing = dict.fromkeys(indices)
        try:
            scored = self._engine.score(job, work.mode, work.budget, self._trace_deadline(ticket))
            async with aclosing(scored) as verdicts:
                async for verdict in verdicts:
                    index = indices[verdict.index]
                    if not math.isfinite(verdict.log_odds):
                        continue
                    missing.pop(index)
                    seated.discard(index)
                    self._take(ticket, index, verdict)
        except PassageTooLong as error:
            raise error.of_call(indices[error.index]) from error
        except (BadRequest, EngineDead):
            raise
        except Exception as error:  # noqa: BLE001 - whatever an engine raises, the document is tried alone, then is a 500
            _log.warning("engine_failed", extra={"documents": len(missing), "error": type(error).__name__})
        return list(missing)

    def _trace_deadline(self, ticket: _Ticket) -> float:
        """When the traces of documents entering now must be over: early enough for those still waiting to get a
        direct verdict before the call's deadline."""
        sharing = sum(1 for t in self._tickets if t.pending) or 1
        direct_cost = max(0.0, ticket.queued_cost - ticket.work.budget * len(ticket.pending))
        return ticket.work.deadline - sharing * self._throughput.seconds_for(Mode.DIRECT, direct_cost)

    def _take(self, ticket: _Ticket, index: int, verdict: Verdict) -> None:
        ticket.verdicts[index] = replace(verdict, index=index)
        self._throughput.finished(ticket.work.mode, ticket.work.costs[index])
        self._release(ticket, 1)
        if len(ticket.verdicts) == len(ticket.work.costs) and not ticket.finished.done():
            ticket.finished.set_result(None)

    def _release(self, ticket: _Ticket, seats: int) -> None:
        if seats:
            ticket.held -= seats
            self._free += seats
            self._fill_soon()
