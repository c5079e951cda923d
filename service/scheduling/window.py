"""The window of documents that are in the engine at one time, filled from the queue.

It bounds what the engine holds, in documents and in tokens that are not computed yet; whose turn it is, `queue` says.
A call that is alone may hold every slot; while another waits it holds at most half of them, and where others come and
go it leaves some free for the next one, since a slot that reasoning has taken is not given back before that ends. Where
the others are small, it leaves them room in tokens too.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import islice

from service.engine import Begun, Completion, Engine, PartialOutput, Prompt, Scoring
from service.errors import EngineDead, EngineFailed, ServiceError
from service.scheduling.calls.entry import Entry, Slice
from service.scheduling.calls.queued import QueuedCall
from service.scheduling.queue import CallQueue
from service.scheduling.room import TokenRoom
from service.scheduling.shares import Taken
from service.scheduling.throughput import Throughput
from service.scheduling.work import Answer, Work

_log = logging.getLogger("limrank.window")
_SLOTS_FOR_THE_NEXT = 16  # enough for a usual small call; never more than half of all
_COMPANY_SECONDS = 1.0  # for so long after another call a call does not count as alone, nor as without small ones


class Window:
    """Slots for `size` documents in `engine`. Runs on one event loop."""

    def __init__(
        self,
        engine: Engine,
        size: int,
        throughput: Throughput,
        clock: Callable[[], float] = time.monotonic,
        queue: CallQueue | None = None,
    ) -> None:
        self._engine = engine
        self._size = size
        self._throughput = throughput
        self._clock = clock
        self._queue = CallQueue(clock) if queue is None else queue
        self._states: dict[QueuedCall, Entry] = {}
        self._free = size
        able = engine.capabilities
        self._room = {scoring: TokenRoom(able.window_tokens, able.behind_tokens) for scoring in Scoring}
        self._waiting = Taken()
        self._waiting_by_key: dict[str, Taken] = {}
        self._waiting_by_scoring = {scoring: Taken() for scoring in Scoring}
        self._fill_due = False
        self._company_until = -math.inf
        self._small_until = -math.inf

    @property
    def running(self) -> int:
        """Documents in the engine."""
        return self._size - self._free

    @property
    def queued(self) -> int:
        """Documents admitted and not yet in the engine."""
        return self._waiting.documents

    @property
    def calls(self) -> int:
        """Calls that are not answered yet."""
        return len(self._states)

    def queued_tokens(self) -> dict[Scoring, float]:
        """Queued work by scoring."""
        return {scoring: taken.tokens for scoring, taken in self._waiting_by_scoring.items()}

    def waiting(self, key: str | None = None) -> Taken:
        """What waits of a key, or (None) in all."""
        return self._waiting if key is None else self._waiting_by_key.get(key, Taken())

    @property
    def entries(self) -> Sequence[Entry]:
        """Calls that are neither answered nor have failed."""
        return [entry for entry in self._states.values() if not entry.finished.done()]

    def press(self, entries: Iterable[Entry], hurried: Iterable[Entry]) -> None:
        """See `CallQueue.press`."""
        self._queue.press((entry.place for entry in entries), [entry.place for entry in hurried])

    def level(self, priority: int, now: float) -> int:
        """See `CallQueue.level`."""
        return self._queue.level(priority, now)

    def had(self, key: str) -> int:
        """See `CallQueue.had`."""
        return self._queue.had(key)

    async def run(self, work: Work) -> Answer:
        """Score every document of a call. Raise the ServiceError that ended it; cancelling frees all its slots."""
        return await self.answer(self.enter(work))

    def enter(self, work: Work, after: Entry | None = None) -> Entry:
        """Puts a call into the queue. `answer` has to be awaited next. `after`: an earlier pass of the same call, whose
        share of the engine counts on."""
        finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        served = 0 if after is None else after.place.served
        place = self._queue.add(work.lengths, work.priority, work.key, work.deadline, order=work.order, served=served)
        costs = work.costs
        tokens = len(work.prefix.ids) + sum(costs)
        of_key = self._waiting_by_key.setdefault(work.key, Taken())
        counts = (of_key, self._waiting_by_scoring[work.scoring], self._waiting)
        for taken in counts:
            taken.change(len(costs), tokens)
        entry = Entry(work, place, costs, self._clock(), finished, counts, tokens, sum(place.tokens))
        self._states[place] = entry
        if place.small and len(self._states) > 1:
            self._small_until = self._clock() + _COMPANY_SECONDS
        self._fill_soon()
        return entry

    async def answer(self, entry: Entry) -> Answer:
        """The answer of a call that has entered. Raise and cancel as with `run`."""
        try:
            await entry.finished
        finally:
            del self._states[entry.place]
            entry.drop()
            self._queue.remove(entry.place)
            for task in entry.tasks:
                task.cancel()
            self._fill_soon()
        completions = [entry.completions[index] for index in range(len(entry.costs))]
        return Answer(completions, entry.begun or entry.arrived)

    def fail_all(self, error: ServiceError) -> None:
        """End every call with `error`."""
        for state in list(self._states.values()):
            state.fail(error)

    def _fill_soon(self) -> None:
        """Fill once for all the slots that come free in this turn of the event loop."""
        if not self._fill_due:
            self._fill_due = True
            asyncio.get_running_loop().call_soon(self._fill)

    def _fill(self) -> None:
        """Hand out documents in the order of the queue as long as there are slots and tokens for them."""
        self._fill_due = False
        if not self._has_room():
            return
        # Not those that have ended, whose task has not come to its turn: it would cancel what is begun for them before
        # that has begun, and nobody would give the slots back.
        able = (s for s in self._states.values() if s.place.pending and not s.finished.done())
        waiting = len(list(islice(able, 2)))
        most, now = self._most_slots(waiting), self._clock()
        behind, small_come = self._queue.behind(now), now < self._small_until
        best = self._queue.best_priority()
        slices: dict[tuple[Entry, int], Slice] = {}

        def allowed(place: QueuedCall) -> bool:
            state = self._states[place]
            if state.finished.done() or state.held >= most:
                return False
            tokens = self._tokens(state, place.pending[0])
            reserved = small_come and not place.small and not place.pressed
            return self._room[state.work.scoring].for_one(tokens, behind=behind(place), reserved=reserved)

        for place, index in self._queue.take(allowed, self._has_room):
            state = self._states[place]
            first = place.small and place.priority <= best
            self._seat(slices.setdefault((state, state.work.part(index)), Slice(state, {}, {}, first)), index)
            self._queue.charge(place, place.tokens[index])
        for taken in slices.values():
            self._dispatch(taken)

    def _has_room(self) -> bool:
        """Whether anything that waits might be handed over."""
        return self._free > 0 and any(
            taken.documents and not self._room[each].full for each, taken in self._waiting_by_scoring.items()
        )

    def _most_slots(self, waiting: int) -> int:
        """How many a call may hold. `waiting`: calls that wait for some, of which more than one is enough to know."""
        half, now = max(1, self._size // 2), self._clock()
        if len(self._states) > 1:
            self._company_until = now + _COMPANY_SECONDS
        if waiting > 1:
            return half
        return max(half, self._size - _SLOTS_FOR_THE_NEXT) if now < self._company_until else self._size

    def _seat(self, taken: Slice, index: int) -> None:
        """Give a document its slot."""
        state = taken.entry
        shared, first = len(state.work.prefix.ids), state.begun is None
        state.hand_over(index, state.costs[index] + (shared if first else 0))
        if first:
            state.begun = self._clock()
        taken.seated[index] = None
        taken.tokens[index] = self._tokens(state, index)
        self._room[state.work.scoring].take(taken.tokens[index])
        state.held += 1
        self._free -= 1

    def _tokens(self, state: Entry, index: int) -> int:
        """Those that the engine has to compute: the prefix only where no other document of the call is there."""
        return state.place.tokens[index] + (0 if state.held else len(state.work.prefix.ids))

    def _dispatch(self, taken: Slice) -> None:
        state = taken.entry
        self._throughput.started(state.work.scoring, len(taken.seated))
        task = asyncio.get_running_loop().create_task(self._score(taken), context=state.context)
        state.tasks.add(task)
        task.add_done_callback(state.tasks.discard)

    async def _score(self, taken: Slice) -> None:
        """Score some documents of a call; each one the engine fails on is tried once more, alone."""
        state = taken.entry
        try:
            for failed in await self._try(taken, list(taken.seated)):
                if state.work.progress is not None:
                    state.work.progress.again(failed)
                if await self._try(taken, [failed]):
                    if state.work.whole:
                        message = f"The engine could not score document {failed}, also when it was alone."
                        raise EngineFailed(message, (failed,))
                    self._take(taken, failed, Completion(failed, ()))
        except ServiceError as error:
            state.fail(error)
        finally:
            self._throughput.abandoned(state.work.scoring, len(taken.seated))
            for index in list(taken.seated):
                self._release(taken, index)

    async def _try(self, taken: Slice, indices: Sequence[int]) -> list[int]:
        """One attempt. Returns the documents that got no completion; raises what no second attempt can mend."""
        missing = dict.fromkeys(indices)
        try:
            async with aclosing(self._engine.submit(self._prompts(taken, indices))) as outputs:
                async for output in outputs:
                    index = indices[output.index]
                    if isinstance(output, Begun):
                        self._computed(taken, index)
                    elif isinstance(output, PartialOutput):
                        taken.entry.tell(replace(output, index=index))
                    elif isinstance(output, Completion) and all(map(math.isfinite, output.answers)):
                        missing.pop(index)
                        self._take(taken, index, output)
        except EngineDead:
            raise
        except Exception as error:  # noqa: BLE001 - whatever an engine raises, the document is tried alone, then is a 500
            _log.warning("engine_failed", extra={"documents": len(missing), "error": type(error).__name__})
        return list(missing)

    def _prompts(self, taken: Slice, indices: Sequence[int]) -> list[Prompt]:
        work, deadline, now = taken.entry.work, self._reasoning_deadline(taken.entry), self._clock()
        return [work.prompt(index, deadline, now, first=taken.first) for index in indices]

    def _reasoning_deadline(self, state: Entry) -> float:
        """When the reasoning of documents entering now must be over: early enough for those still waiting to get a
        direct verdict before the call's deadline."""
        if not state.work.budget:
            return state.work.deadline
        sharing = sum(1 for place in self._states if place.pending) or 1
        direct = max(0, state.queued_tokens - state.work.budget * len(state.place.pending))
        own = state.work.deadline - sharing * self._throughput.seconds_for(Scoring.DIRECT, direct)
        return min(own, state.reason_until)

    def _take(self, taken: Slice, index: int, completion: Completion) -> None:
        state = taken.entry
        state.completions[index] = scored = replace(completion, index=index)
        state.left -= state.place.tokens[index]
        state.in_engine -= state.place.tokens[index]
        state.tell(scored)
        self._throughput.finished(state.work.scoring, state.costs[index])
        self._release(taken, index)
        if len(state.completions) == len(state.costs) and not state.finished.done():
            state.finished.set_result(None)

    def _computed(self, taken: Slice, index: int) -> None:
        """Its prompt is computed: others may follow it into the engine, as far as there are slots."""
        if (tokens := taken.tokens.pop(index, None)) is not None:
            self._room[taken.entry.work.scoring].give_back(tokens)
            self._fill_soon()

    def _release(self, taken: Slice, index: int) -> None:
        self._computed(taken, index)
        taken.seated.pop(index, None)
        taken.entry.held -= 1
        self._free += 1
        self._fill_soon()
