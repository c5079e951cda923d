"""A share for each key of what waits for the engine: who is refused when room runs out.

Keys are compared by the larger of their shares of documents and of tokens. A key may take half of the room, and one
call of any size that fits at all. Where room runs out, the newest unfinished calls of the key that takes the most are
refused, so the oldest finish, and no key can keep the room of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

_SHARE = 0.5  # of the room that the calls of one key may take where there are several keys


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """The most that may wait for the engine: documents, and tokens of work. `several_keys`: callers are told apart."""

    documents: int
    tokens: int
    several_keys: bool = False


class Waiting(Protocol):
    """A call of which something waits."""

    @property
    def key(self) -> str: ...

    @property
    def documents(self) -> int: ...

    @property
    def tokens(self) -> float: ...


Call = TypeVar("Call", bound=Waiting)


@dataclass(slots=True)
class Taken:
    """What the calls of one key, or all of them, take of the room."""

    documents: int = 0
    tokens: float = 0

    def change(self, documents: int, tokens: float) -> None:
        self.documents += documents
        self.tokens += tokens


def has_room(own: Taken, total: Taken, documents: int, tokens: float, limits: QueueLimits) -> bool:
    """True where a call can be let in and nobody has to go. `own`: what its key takes, `total`: all of them."""
    alone = not (limits.several_keys and own.documents)
    return (alone or _fits(own, documents, tokens, limits, _SHARE)) and _fits(total, documents, tokens, limits, 1.0)


@dataclass(frozen=True, slots=True)
class NoRoom:
    """Why a call cannot be let in: `waiting` documents of its own key, or of all."""

    waiting: int
    of_key: bool


def make_room(
    calls: Iterable[Call], key: str, documents: int, tokens: float, limits: QueueLimits
) -> Sequence[Call] | NoRoom:
    """Returns which of the waiting `calls`, oldest first, have to go so that one of `key` can be let in."""
    waiting = [call for call in calls if call.documents]
    by_key: dict[str, Taken] = {key: Taken()}
    total = Taken()
    for call in waiting:
        by_key.setdefault(call.key, Taken()).change(call.documents, call.tokens)
        total.change(call.documents, call.tokens)
    own = by_key[key]
    if limits.several_keys and own.documents and not _fits(own, documents, tokens, limits, _SHARE):
        return NoRoom(own.documents, of_key=True)
    own.change(documents, tokens)
    going: list[Call] = []
    while not _fits(total, documents, tokens, limits, 1.0):
        greediest = max(by_key, key=lambda name: (_greed(by_key[name], limits), name == key))
        if greediest == key:
            return NoRoom(total.documents + sum(call.documents for call in going), of_key=False)
        newest = max(index for index, call in enumerate(waiting) if call.key == greediest)
        call = waiting.pop(newest)
        going.append(call)
        for taken in (by_key[greediest], total):
            taken.change(-call.documents, -call.tokens)
    return going


def _fits(taken: Taken, documents: int, tokens: float, limits: QueueLimits, share: float) -> bool:
    return taken.documents + documents <= limits.documents * share and taken.tokens + tokens <= limits.tokens * share


def _greed(taken: Taken, limits: QueueLimits) -> float:
    return max(taken.documents / limits.documents, taken.tokens / limits.tokens)
