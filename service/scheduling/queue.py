"""Whose turn it is: the one order in which documents of all calls are handed to an engine, and the one rule of ageing.

Classes of priority go before each other, but a call gains a class for every `AGEING_SECONDS` that it has waited since
it came or since its last turn ended, so none starves. Within a class a call that has been served less than
`FIRST_TOKENS` goes before those that have had theirs (least attained service first, Kleinrock 1976, with one step
between first and later). Otherwise calls take turns of `TURN_TOKENS` each (deficit round-robin, Shreedhar and Varghese
1995): a turn is worth more than most calls, so that calls which come together end one by one, instead of all of them
late. Within a call the shortest documents go first.

Where calls are of several keys, keys take turns in the same way, of `KEY_TURN_TOKENS`, and only then the calls of one:
however many calls a key sends, another gets as much. One that comes back may have a first share before the others. A
key is of the class of its best call, and ages while it gets no turn.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

AGEING_SECONDS = 10.0
FIRST_TOKENS = 1536  # ten passages of a hundred words; what is new waits for this of each new call before it
TURN_TOKENS = 2048
KEY_TURN_TOKENS = 512  # small, as a key's turn has to be waited for on top of what the engine holds


@dataclass(eq=False, slots=True)
class KeyShare:
    """What the calls of a key have had. `turns`: how many, and of those that others got while it had no call; `tokens`
    left of the present one; `since`: when the last one ended; `calls`: those that are not answered yet."""

    turns: int
    tokens: int
    since: float
    calls: int = 0


@dataclass(eq=False, slots=True)
class QueuedCall:
    """A call's place in the queue.

    `pending`: documents that are not handed out, in their order; `tokens` of each document of the call. `since`: when
    it came, or its last turn ended (seconds of the clock). `place`: the smaller, the sooner among its like. `turn`:
    tokens left of its turn; `served`: tokens handed out so far; `share`: that of its key.
    """

    priority: int
    since: float
    tokens: Sequence[int]
    place: int
    turn: int
    pending: deque[int]
    share: KeyShare
    new: bool = True  # until it has had its first share
    served: int = 0

    def class_at(self, now: float) -> int:
        """Its class of priority, below 0 once it has waited for longer than takes it to the first."""
        return self.priority - int((now - self.since) / AGEING_SECONDS)


_Ordered = tuple[tuple[int, bool, int], QueuedCall]


class CallQueue:
    """The calls that are not answered yet, with those of their documents that wait."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        first_tokens: int = FIRST_TOKENS,
        turn_tokens: int = TURN_TOKENS,
        key_turn_tokens: int = KEY_TURN_TOKENS,
    ) -> None:
        self._clock = clock
        self._key_turn_tokens = key_turn_tokens
        self._head_start = first_tokens // key_turn_tokens  # turns
        self._first_tokens = first_tokens
        self._turn_tokens = turn_tokens
        self._calls: dict[QueuedCall, None] = {}
        self._shares: dict[str, KeyShare] = {}
        self._turns = 0  # of the key that was served last
        self._places = itertools.count()

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[QueuedCall]:
        return iter(self._calls)

    def add(
        self, tokens: Sequence[int], priority: int, key: str = "", *, order: Sequence[int] | None = None
    ) -> QueuedCall:
        """A call of `key` whose documents are of so many tokens each. `order`: how they are handed out, if not the
        shortest first."""
        if order is None:
            order = sorted(range(len(tokens)), key=tokens.__getitem__)
        share = self._share(key)
        share.calls += 1
        call = QueuedCall(
            priority,
            self._clock(),
            tokens,
            next(self._places),
            turn=self._turn_tokens,
            pending=deque(order),
            share=share,
        )
        self._calls[call] = None
        return call

    def remove(self, call: QueuedCall) -> None:
        del self._calls[call]
        call.share.calls -= 1

    def _share(self, key: str) -> KeyShare:
        """That of a key, which has no claim to turns that others got while it had no call, but for a first share
        (start-time fair queueing, Goyal, Vin and Cheng 1996)."""
        earliest = self._turns - self._head_start
        share = self._shares.get(key)
        if share is None:
            share = self._shares[key] = KeyShare(earliest, self._key_turn_tokens, self._clock())
        if not share.calls:
            share.turns = max(share.turns, earliest)
        return share

    def behind(self, now: float) -> Callable[[QueuedCall], bool]:
        """Whether a call has had its first share while another that is new, and of its class or a better one, is not
        answered yet, of a key that has had no more turns."""
        first: dict[KeyShare, int] = {}
        for call in self._calls:
            if call.new:
                first[call.share] = min(call.class_at(now), first.get(call.share, call.priority))

        def is_behind(call: QueuedCall) -> bool:
            own, turns = call.class_at(now), call.share.turns
            return not call.new and any(best <= own and share.turns <= turns for share, best in first.items())

        return is_behind

    def take(self, allowed: Callable[[QueuedCall], bool]) -> Iterator[tuple[QueuedCall, int]]:
        """Hand out documents in their order, each with its call, as long as their calls are `allowed` one.

        The caller says with `charge` what each has cost before it asks for the next.
        """
        now = self._clock()
        waiting: dict[KeyShare, list[_Ordered]] = {}
        for call in self._calls:
            if call.pending:
                waiting.setdefault(call.share, []).append((self._key(call, now), call))
        classes = {share: min(_class_between(call, now) for _, call in calls) for share, calls in waiting.items()}
        for calls in waiting.values():
            heapq.heapify(calls)
        while waiting:
            share = min(waiting, key=lambda share: (classes[share], share.turns, waiting[share][0][0][1:]))
            calls = waiting[share]
            _, call = heapq.heappop(calls)
            if allowed(call):
                yield call, call.pending.popleft()
                if call.pending:
                    heapq.heappush(calls, (self._key(call, now), call))
            if not calls:
                del waiting[share]

    def charge(self, call: QueuedCall, tokens: int) -> None:
        """A call was served `tokens`; one whose turn is over goes behind the others."""
        call.served += tokens
        call.new = call.served < self._first_tokens
        call.turn -= tokens
        share = call.share
        self._turns = max(self._turns, share.turns)
        share.tokens -= tokens
        if share.tokens <= 0:
            share.turns, share.tokens, share.since = share.turns + 1, self._key_turn_tokens, self._clock()
        if call.turn <= 0:
            call.turn, call.since, call.place = self._turn_tokens, self._clock(), next(self._places)

    def _key(self, call: QueuedCall, now: float) -> tuple[int, bool, int]:
        return call.class_at(now), not call.new, call.place  # places differ: calls are never compared


def _class_between(call: QueuedCall, now: float) -> int:
    """A call's class against those of other keys: it ages as long as its key gets no turn."""
    return call.priority - int((now - max(call.since, call.share.since)) / AGEING_SECONDS)
