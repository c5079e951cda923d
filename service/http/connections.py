"""Counts the connections of a process, so that descriptors are left for probes and files."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

_MOST_RESERVE = 16


class Seat(Enum):
    """Where a new connection finds room: as any other; in the reserve, where it has a moment to ask for a probe path;
    among those that are told to come back later; or nowhere."""

    OPEN = auto()
    RESERVE = auto()
    REFUSED = auto()
    NONE = auto()


class Connections:
    """At most `limit` connections, and twice `reserve` more that are kept for a moment only. Runs on one event loop.

    Where the reserve is full too, its oldest connection that has asked for nothing yet makes room: so a probe finds a
    seat however many others open connections and are silent.
    """

    def __init__(self, limit: int) -> None:
        reserve = max(2, min(_MOST_RESERVE, limit // 8))
        self.limit = limit
        self.reserve = reserve
        self._room = {Seat.OPEN: limit, Seat.RESERVE: reserve, Seat.REFUSED: reserve}
        self._silent: dict[object, Callable[[], None]] = {}  # in the reserve, oldest first

    @property
    def open(self) -> int:
        """Connections that exist now, those kept for a moment included."""
        return self.limit + 2 * self.reserve - sum(self._room.values())

    def take(self) -> Seat:
        """The best seat that is free, or is made free, for a new connection."""
        if self._silent and not (self._room[Seat.OPEN] or self._room[Seat.RESERVE]):
            self._silent.pop(next(iter(self._silent)))()
        for seat, room in self._room.items():
            if room:
                self._room[seat] -= 1
                return seat
        return Seat.NONE

    def until_heard(self, connection: object, make_room: Callable[[], None]) -> None:
        """A connection in the reserve asks for nothing yet: `make_room` may be called, which has to `step_down`."""
        self._silent[connection] = make_room

    def heard(self, connection: object) -> None:
        """It has asked for something, or is gone."""
        self._silent.pop(connection, None)

    def step_down(self) -> Seat:
        """Where a connection goes that gives up its seat in the reserve."""
        self._room[Seat.RESERVE] += 1
        if not self._room[Seat.REFUSED]:
            return Seat.NONE
        self._room[Seat.REFUSED] -= 1
        return Seat.REFUSED

    def give_back(self, seat: Seat) -> None:
        """The connection that had this seat is closed."""
        if seat is not Seat.NONE:
            self._room[seat] += 1
