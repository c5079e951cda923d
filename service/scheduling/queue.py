"""Whose turn it is: the one order in which documents of all calls are handed to an engine, and the one rule of ageing.

Classes of priority go before each other, but a call gains a class for every `AGEING_SECONDS` that it has waited since
it came or since its last turn ended, so none starves. Within a class a call that has been served less than
`FIRST_TOKENS` goes before those that have had theirs (least attained service first, Kleinrock 1976, with one step
between first and later), and of those the ones that need no more than that first: a call of ten documents does not wait
for the first shares of calls of hundreds. Otherwise calls take turns of `TURN_TOKENS` each (deficit round-robin,
Shreedhar and Varghese 1995): a turn is worth more than most calls, so that calls which come together end one by one,
instead of all of them late. Within a call the shortest documents go first.

Where calls are of several keys, keys take turns in the same way, of `KEY_TURN_TOKENS`, and only then the calls of one:
however many calls a key sends, another gets as much. One that comes back may have a first share before the others. A
key is of the class of its best call, and ages while it gets no turn.

Turns would make calls late that have no time to spare. Such calls are `press`ed: they go before the others of their key
and class, the earliest deadline first, and behind new small ones alone; a class then ages as a whole, as its calls do
not take turns; and keys take turns by whole calls, or pieces of large ones (`plan`). Calls that their first share
completes do not wait for that: a key that has had no more than the others has them served first.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from service.scheduling.calls.queued import (
    AGEING_SECONDS,
    PIECE_TOKENS,
    CallClass,
    ClassOfAll,
    KeyShare,
    QueuedCall,
    note_served,
)

FIRST_TOKENS = 1536  # ten passages of a hundred words; what is new waits for this of each new call before it
TURN_TOKENS = 2048
_BEFORE_AGED = 2  # classes: small calls go before others of theirs that have waited for no longer than this
KEY_TURN_TOKENS = 512  # small, as a key's turn has to be waited for on top of what the engine holds


_SMALL, _PRESSED, _NEW, _LATER = range(4)  # of one class, in this order
_Order = tuple[int, int, float, int]
_Ordered = tuple[_Order, QueuedCall]
# For so long the order of those that wait is kept, but for those that come or are served; longer where they are many.
_ORDER_SECONDS = 0.25
_ORDER_SECONDS_PER_CALL = 5e-5
_MOST_PASSED = 256  # of calls one after another that may not be served: then none behind them is looked at


class CallQueue:
    """The calls that are not answered yet, with those of their documents that wait."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        first_tokens: int = FIRST_TOKENS,
        turn_tokens: int = TURN_TOKENS,
        key_turn_tokens: int = KEY_TURN_TOKENS,
        small_tokens: int = FIRST_TOKENS,
    ) -> None:
        """`small_tokens`: the most that a call has which goes before larger ones as long as it is new."""
        self._clock = clock
        self._key_turn_tokens = key_turn_tokens
        self._head_start = first_tokens // key_turn_tokens  # turns
        self._first_tokens = first_tokens
        self._turn_tokens = turn_tokens
        self._small_tokens = small_tokens
        self._pressed: list[CallClass] = []
        self._lines: dict[KeyShare, list[_Ordered]] = {}  # heaps; some of their calls may have ended
        self._ordered = -math.inf  # when they were made; minus infinity: anew
        self._calls: dict[QueuedCall, None] = {}
        self._shares: dict[str, KeyShare] = {}
        self._turns = 0  # of the key that was served last
        self._places = itertools.count()
        self._classes: dict[int, ClassOfAll] = {}  # by priority

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[QueuedCall]:
        return iter(self._calls)

    def add(
        self,
        tokens: Sequence[int],
        priority: int,
        key: str = "",
        deadline: float = math.inf,
        *,
        order: Sequence[int] | None = None,
        served: int = 0,
    ) -> QueuedCall:
        """A call of `key` whose documents are of so many tokens each, due by `deadline`. `order`: how they are handed
        out, if not the shortest first. `served`: tokens that earlier parts of the same call have had."""
        if order is None:
            order = sorted(range(len(tokens)), key=tokens.__getitem__)
        share, now = self._share(key), self._clock()
        share.calls += 1
        call = QueuedCall(
            priority,
            now,
            tokens,
            next(self._places),
            turn=self._turn_tokens,
            pending=deque(order),
            share=share,
            group=self._class_of(share, priority, now),
            deadline=deadline,
            small=sum(tokens) <= self._small_tokens,
            large=sum(tokens) > PIECE_TOKENS,
            new=served < self._first_tokens,
            served=min(served, self._first_tokens),
        )
        self._calls[call] = None
        call.group.calls += 1
        call.group.new += call.new
        call.group.waiting += 1
        whole = self._classes.setdefault(priority, ClassOfAll(now, self._turn_tokens))
        if not whole.waiting:
            whole.since, whole.turn = now, self._turn_tokens
        whole.waiting += 1
        self._put(call, now)
        return call

    def remove(self, call: QueuedCall) -> None:
        """It is answered, or nothing of it is wanted any more."""
        del self._calls[call]
        call.pending.clear()
        call.share.calls -= 1
        call.group.calls -= 1
        call.group.new -= call.new
        call.new = False
        self._note_end(call)

    def press(self, calls: Iterable[QueuedCall], hurried: Iterable[QueuedCall] | None = None) -> None:
        """These calls have no time to take turns, nor have those of their key and class that are due before them; all
        others have. `hurried`: those that are the reason, or (None) all."""
        calls = list(calls)
        for call in self._calls:
            call.hurried = False
        for call in calls if hurried is None else hurried:
            call.hurried = True
        due: dict[CallClass, float] = {}
        for call in calls:
            due[call.group] = max(call.deadline, due.get(call.group, -math.inf))
        if due != {group: group.pressed for group in self._pressed}:
            for group in self._pressed:
                group.pressed = -math.inf
            for group, until in due.items():
                group.pressed = until
            self._pressed, self._ordered = list(due), -math.inf

    def level(self, priority: int, now: float) -> int:
        """How far a class of priority has aged while calls are pressed: as long as none of its calls was served."""
        whole = self._classes.get(priority)
        return priority if whole is None else priority - int((now - whole.since) / AGEING_SECONDS)

    def had(self, key: str) -> int:
        """Tokens that a key's calls have had, and of those that others got while it had none. That it may go first when
        it comes counts for nothing here."""
        share = self._shares.get(key)
        if share is None:
            return self._turns * self._key_turn_tokens
        turns = share.turns + share.ahead if share.calls else max(share.turns, self._turns)
        return (turns + 1) * self._key_turn_tokens - share.tokens

    def best_priority(self) -> int:
        """The best class of priority, ageing aside, of the calls that are not answered yet; 0 without any."""
        groups = (group for share in self._shares.values() for group in share.classes.values())
        return min((group.priority for group in groups if group.calls), default=0)

    def _class_of(self, share: KeyShare, priority: int, now: float) -> CallClass:
        """A class of a key, which a call comes to."""
        group = share.classes.setdefault(priority, CallClass(share, priority, now, self._turn_tokens, priority))
        if not group.calls:
            group.since, group.turn, group.best, group.pressed = now, self._turn_tokens, priority, -math.inf
        return group

    def _share(self, key: str) -> KeyShare:
        """That of a key, which has no claim to turns that others got while it had no call, but for a first share
        (start-time fair queueing, Goyal, Vin and Cheng 1996)."""
        earliest = self._turns - self._head_start
        share = self._shares.get(key)
        if share is None:
            share = self._shares[key] = KeyShare(key, earliest, self._key_turn_tokens, self._clock())
        if not share.calls:
            share.turns = max(share.turns, earliest)
            share.ahead = max(0, self._turns - share.turns)
        return share

    def behind(self, now: float) -> Callable[[QueuedCall], bool]:
        """Whether a call has had its first share while another that is new, and of its class or a better one, is not
        answered yet, of a key that has had no more turns."""
        groups = [group for share in self._shares.values() if share.calls for group in share.classes.values()]
        first = [(group.share, group.priority) for group in groups if group.new]

        def is_behind(call: QueuedCall) -> bool:
            own, turns = call.class_at(now), call.share.turns
            return not (call.new or call.pressed) and any(best <= own and share.turns <= turns for share, best in first)

        return is_behind

    def take(
        self, allowed: Callable[[QueuedCall], bool], more: Callable[[], bool] = lambda: True
    ) -> Iterator[tuple[QueuedCall, int]]:
        """Hand out documents in their order, each with its call, as long as there may be `more` and their calls are
        `allowed` one.

        The caller says with `charge` what each has cost before it asks for the next.
        """
        now = self._clock()
        if now - self._ordered >= max(_ORDER_SECONDS, _ORDER_SECONDS_PER_CALL * len(self._calls)):
            self._order(now)
        passed: list[QueuedCall] = []
        call: QueuedCall | None = None
        heads = {share: head for share in self._lines if (head := self._head(share))}
        levels = {share: share.level(now) for share in heads}
        try:
            while heads and len(passed) < _MOST_PASSED and more():
                share = self._next_of(heads, levels)
                call = heapq.heappop(self._lines[share])[1]
                if allowed(call):
                    yield call, call.pending.popleft()
                    self._put(call, now)
                else:
                    passed.append(call)
                call = None
                if head := self._head(share):
                    heads[share], levels[share] = head, share.level(now)
                else:
                    del heads[share]
        finally:
            for each in passed if call is None else [*passed, call]:
                self._put(each, now)

    def _order(self, now: float) -> None:
        """Put all that wait in order: by now they have aged."""
        self._ordered, self._lines = now, {}
        pending = [call for call in self._calls if call.pending]
        for call in pending:
            call.group.best = call.priority
        for call in pending:
            if not call.small:
                call.group.best = min(call.group.best, call.class_at(now))
        for call in pending:
            self._put(call, now)

    def _put(self, call: QueuedCall, now: float) -> None:
        """Have a call wait for its next turn, if there is something left of it."""
        if call.pending:
            heapq.heappush(self._lines.setdefault(call.share, []), (self._key(call, now), call))
        else:
            self._note_end(call)

    def _head(self, share: KeyShare) -> _Ordered | None:
        """The first call of a key of which something waits."""
        calls = self._lines[share]
        while calls and not calls[0][1].pending:
            self._note_end(heapq.heappop(calls)[1])
        return calls[0] if calls else None

    def _note_end(self, call: QueuedCall) -> None:
        """Nothing of a call waits any more."""
        call.group.waiting -= call.waits
        self._classes[call.priority].waiting -= call.waits
        call.waits = False

    def charge(self, call: QueuedCall, tokens: int) -> None:
        """A call was served `tokens`; one whose turn is over goes behind the others."""
        call.served += tokens
        if call.new and call.served >= self._first_tokens:
            call.new = False
            call.group.new -= 1
        call.turn -= tokens
        share, now = call.share, self._clock()
        for group in (call.group, self._classes[call.priority]):
            note_served(group, tokens, now, self._turn_tokens)
        self._turns = max(self._turns, share.turns)
        share.tokens -= tokens
        if share.tokens <= 0:
            share.turns, share.tokens, share.since = share.turns + 1, self._key_turn_tokens, now
        if call.turn <= 0:
            call.turn, call.since, call.place = self._turn_tokens, now, next(self._places)

    def _key(self, call: QueuedCall, now: float) -> _Order:
        """Its order among the calls of its key. Places differ: calls are never compared."""
        small, pressed = call.new and call.small, call.group.pressed > -math.inf
        if pressed:
            level = self.level(call.priority, now)
        elif small:
            level = min(call.class_at(now), max(call.group.best, call.priority - _BEFORE_AGED))
        else:
            level = call.class_at(now)
        kind = _SMALL if small else _PRESSED if call.pressed else _NEW if call.new else _LATER
        due = call.deadline if pressed and kind in (_SMALL, _PRESSED) else 0.0
        return level, kind, due, call.place

    def _next_of(self, heads: dict[KeyShare, _Ordered], levels: dict[KeyShare, int]) -> KeyShare:
        """Whose turn it is. Where calls are pressed (`plan`), it is that key's whose next call is due first, of those
        that had no more than the others when it or its present piece began; before these, that of a key with a small
        call that has had no more than the others by now."""
        if len(heads) == 1:
            return next(iter(heads))
        if self._pressed:
            now = self._clock()
            levels = {share: self.level(heads[share][1].priority, now) for share in heads}
        level = min(levels[share] for share in heads)
        best = [share for share in heads if levels[share] == level]
        if not self._pressed:
            return min(best, key=lambda share: (share.turns, heads[share][0][1:]))
        had = {share: self.had(share.key) for share in best}
        most = min(had.values()) + self._first_tokens
        quick = [share for share in best if heads[share][1].small and had[share] <= most]
        if quick:
            return min(quick, key=lambda share: (had[share], heads[share][0]))
        begun = {share: had[share] - heads[share][1].in_piece for share in best}
        most = min(begun.values()) + self._first_tokens
        able = [share for share in best if begun[share] <= most]
        return min(able, key=lambda share: (heads[share][1].deadline, begun[share], heads[share][0]))
