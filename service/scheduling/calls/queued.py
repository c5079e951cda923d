"""A call's place in the queue, and what the calls of a key have had."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

AGEING_SECONDS = 10.0
PIECE_TOKENS = 8192  # of a pressed call, which are one turn of its key


@dataclass(eq=False, slots=True)
class CallClass:
    """The calls of a key in one class of priority. `since`: when it was last served, or one came to it; once it has
    aged it has `turn` tokens more. `best`: the class of the larger call that has waited longest. `pressed`: its calls
    that are due by then go first. `calls` that are not answered yet, those of them that are `new`, and those of which
    something waits."""

    share: KeyShare
    priority: int
    since: float
    turn: int
    best: int
    pressed: float = -math.inf
    calls: int = 0
    new: int = 0
    waiting: int = 0


@dataclass(slots=True)
class ClassOfAll:
    """The calls of all keys in one class of priority. `since`: when one of them was served last, or the first came;
    once the class has aged it has `turn` tokens more. `waiting`: calls of which something waits."""

    since: float
    turn: int
    waiting: int = 0


def note_served(group: CallClass | ClassOfAll, tokens: int, now: float, turn: int) -> None:
    """A class was served `tokens`; one that has aged stays so until its `turn` is over."""
    group.turn -= tokens
    if group.turn <= 0 or now - group.since < AGEING_SECONDS:
        group.since, group.turn = now, turn


@dataclass(eq=False, slots=True)
class KeyShare:
    """What the calls of `key` have had. `turns`: how many, and of those that others got while it had no call; `tokens`
    left of the present one; `ahead`: those that it was given to go first when it came; `since`: when the last one
    ended; `calls`: those that are not answered yet; `classes` by priority."""

    key: str
    turns: int
    tokens: int
    since: float
    ahead: int = 0
    calls: int = 0
    classes: dict[int, CallClass] = field(default_factory=dict)

    def level(self, now: float) -> int:
        """Its class against other keys: that of its best call; it ages as long as it gets no turn."""
        return min(
            group.priority - int((now - max(group.since, self.since)) / AGEING_SECONDS)
            for group in self.classes.values()
            if group.waiting
        )


@dataclass(eq=False, slots=True)
class QueuedCall:
    """A call's place in the queue.

    `pending`: documents that are not handed out, in their order; `tokens` of each document of the call.
    `since`: when it came, or its last turn ended (seconds of the clock); `deadline`: when it is due. `place`: the
    smaller, the sooner among its like. `turn`: tokens left of its turn; `served`: tokens handed out so far; `share`:
    that of its key, and `group` its class there. `small`: its first share is all that it needs;
    `large`: a piece is not. `waits`: it counts as one of which something is pending. `hurried`: it is pressed because
    it has no time left itself.
    """

    priority: int
    since: float
    tokens: Sequence[int]
    place: int
    turn: int
    pending: deque[int]
    share: KeyShare
    group: CallClass
    deadline: float
    small: bool
    large: bool
    new: bool = True  # until it has had its first share
    waits: bool = True
    served: int = 0
    hurried: bool = False

    def class_at(self, now: float) -> int:
        """Its class of priority, below 0 once it has waited for longer than takes it to the first."""
        return self.priority - int((now - self.since) / AGEING_SECONDS)

    @property
    def pressed(self) -> bool:
        """True where it has no time to take turns."""
        return self.deadline <= self.group.pressed

    @property
    def in_piece(self) -> int:
        """Tokens that a pressed call has had since its present piece began; none of one that takes turns, nor of a
        `large` one that has time to spare: it gives way to those that have none."""
        return self.served % PIECE_TOKENS if self.pressed and (self.hurried or not self.large) else 0
