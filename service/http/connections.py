"""Counts the connections of a process, so that descriptors are left for probes and files."""

from __future__ import annotations

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
    """At most `limit` connections, and twice `reserve` more that are kept for a moment only. Runs on one event loop."""

    def __init__(self, limit: int) -> None:
        reserve = max(2, min(_MOST_RESERVE, limit // 8))
        self.limit = limit
        self.reserve = reserve
        self._room = {Seat.OPEN: limit, Seat.RESERVE: reserve, Seat.REFUSED: reserve}

    @property
    def open(self) -> int:
        """Connections that exist now, those kept for a moment included."""
        return self.limit + 2 * self.reserve - sum(self._room.values())

    def take(self) -> Seat:
        """The best seat that is free, for a new connection."""
        for seat, room in self._room.items():
            if room:
                self._room[seat] -= 1
                return seat
        return Seat.NONE

    def give_back(self, seat: Seat) -> None:
        """The connection that had this seat is closed."""
        if seat is not Seat.NONE:
            self._room[seat] += 1
