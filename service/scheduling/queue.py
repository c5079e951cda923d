"""Whose turn it is: the one order in which documents of all calls are handed to an engine, and the one rule of ageing.

Classes of priority go before each other, but a call gains a class for every `AGEING_SECONDS` that it has waited since
it came or since its last turn ended, so none starves. Within a class a call that has been served less than
`FIRST_TOKENS` goes before those that have had theirs (least attained service first, Kleinrock 1976, with one step
between first and later). Otherwise calls take turns of `TURN_TOKENS` each (deficit round-robin, Shreedhar and Varghese
1995): a turn is worth more than most calls, so that calls which come together end one by one, instead of all of them
late. Within a call the shortest documents go first.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

AGEING_SECONDS = 10.0
FIRST_TOKENS = 2048
TURN_TOKENS = 2048


@dataclass(eq=False, slots=True)
class QueuedCall:
    """A call's place in the queue.

    `pending`: documents that are not handed out, in their order; `tokens` of each document of the call. `since`: when
    it came, or its last turn ended (seconds of the clock). `place`: the smaller, the sooner among its like. `turn`:
    tokens left of its turn; `served`: tokens handed out so far.
    """

    priority: int
    since: float
    tokens: Sequence[int]
    place: int
    turn: int
    pending: deque[int]
    new: bool = True  # until it has had its first share
    served: int = 0

    def class_at(self, now: float) -> int:
        """Its class of priority, below 0 once it has waited for longer than takes it to the first."""
        return self.priority - int((now - self.since) / AGEING_SECONDS)


class CallQueue:
    """The calls that are not answered yet, with those of their documents that wait."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        first_tokens: int = FIRST_TOKENS,
        turn_tokens: int = TURN_TOKENS,
    ) -> None:
        self._clock = clock
        self._first_tokens = first_tokens
        self._turn_tokens = turn_tokens
        self._calls: dict[QueuedCall, None] = {}
        self._places = itertools.count()

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[QueuedCall]:
        return iter(self._calls)

    def add(self, tokens: Sequence[int], priority: int) -> QueuedCall:
        """A call whose documents are of so many tokens each."""
        order = sorted(range(len(tokens)), key=tokens.__getitem__)
        call = QueuedCall(
            priority, self._clock(), tokens, next(self._places), turn=self._turn_tokens, pending=deque(order)
        )
        self._calls[call] = None
        return call

    def remove(self, call: QueuedCall) -> None:
        del self._calls[call]

    def behind(self, now: float) -> Callable[[QueuedCall], bool]:
        """Whether a call has had its first share while another that is new, and of its class or a better one, is not
        answered yet."""
        first = min((call.class_at(now) for call in self._calls if call.new), default=math.inf)
        return lambda call: not call.new and first <= call.class_at(now)

    def take(self, allowed: Callable[[QueuedCall], bool]) -> Iterator[tuple[QueuedCall, int]]:
        """Hand out documents in their order, each with its call, as long as their calls are `allowed` one.

        The caller says with `charge` what each has cost before it asks for the next.
        """
        now = self._clock()
        heap = [(self._key(call, now), call) for call in self._calls if call.pending]
        heapq.heapify(heap)
        while heap:
            _, call = heapq.heappop(heap)
            if allowed(call):
                yield call, call.pending.popleft()
                if call.pending:
                    heapq.heappush(heap, (self._key(call, now), call))

    def charge(self, call: QueuedCall, tokens: int) -> None:
        """A call was served `tokens`; one whose turn is over goes behind the others."""
        call.served += tokens
        call.new = call.served < self._first_tokens
        call.turn -= tokens
        if call.turn <= 0:
            call.turn, call.since, call.place = self._turn_tokens, self._clock(), next(self._places)

    def _key(self, call: QueuedCall, now: float) -> tuple[int, bool, int]:
        return call.class_at(now), not call.new, call.place  # places differ: calls are never compared
