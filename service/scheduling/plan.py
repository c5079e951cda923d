"""When each admitted call would be ready if keys kept their fair shares and every key did its most urgent calls first.

Pure arithmetic, in seconds of the whole engine. Within a key and a class calls go by their deadlines (Liu and Layland
1973), those that need no more than a `lead` before the others: a call of ten documents does not wait behind one of ten
thousand. Between keys whole calls take turns, or pieces of those that need more than a `piece`: that key is next whose
call is small, or due first, of those that have had no more than the others (after worst-case fair queueing, Bennett and
Zhang 1996). So calls of many keys end one by one, instead of all of them late; and a key with short deadlines, or with
a call of ten thousand documents, is ahead of its share by one piece at most.

Worked out: `a` has calls of 4 and 2 seconds due in 20 and 5, `b` one of 3 seconds due in 30. Nobody has had anything,
so `a`'s urgent call is first, ready after 2 seconds. Then `a` has had 2 and `b` nothing: `b`'s is ready after 5, and
`a`'s other one after 9.
"""

from __future__ import annotations

import heapq
import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

_NOTHING: Mapping[str, float] = {}
_DONE_STEPS = 10  # calls of which as many tenths are done count as equal
_Name = tuple[int, str]  # of a line: class and key
_Urgency = tuple[bool, float]  # of the next call of a key, against those of others: needs more than `lead`; deadline


@dataclass(frozen=True, slots=True)
class Need:
    """A call as it is planned. `level`: its class of priority, the lowest first; `deadline`: an instant; `seconds` of
    the whole engine that it still needs, and those that it `got`; `done`: the share of it that is computed, 0 to 1."""

    key: str
    level: int
    deadline: float
    seconds: float
    done: float = 0.0
    got: float = 0.0


@dataclass(slots=True)
class _Line:
    """The calls of a key in one class by pieces, in the order of their `urgency`: the `places` of their calls among the
    needs, and `sums` of their seconds up to each. `base`: what the key has had before them. `slack`: between ready and
    deadline of a call, the least from each piece on; `whole_slack`: that of calls of one piece alone. `at`: where in
    the level's order each is."""

    base: float
    places: list[int] = field(default_factory=list)
    urgency: list[_Urgency] = field(default_factory=list)
    sums: list[float] = field(default_factory=list)
    slack: list[float] = field(default_factory=list)
    whole_slack: list[float] = field(default_factory=list)
    at: list[int] = field(default_factory=list)

    def before(self, number: int) -> float:
        """Seconds of the pieces before one."""
        return self.sums[number - 1] if number else 0.0


@dataclass(slots=True)
class _Level:
    """All pieces of one class in their order. `begin`: seconds of the better classes; `urgency` of their calls; `sums`
    of the seconds up to each; `least_had` by any key when its turn comes; the least `slack` from each piece on. `keys`:
    how many."""

    begin: float
    keys: int = 0
    urgency: list[_Urgency] = field(default_factory=list)
    sums: list[float] = field(default_factory=list)
    least_had: list[float] = field(default_factory=list)
    slack: list[float] = field(default_factory=list)


class Plan:
    """`ready`: when each of `needs` would be ready, in their order."""

    def __init__(
        self,
        needs: Sequence[Need],
        now: float,
        had: Mapping[str, float] = _NOTHING,
        lead: float = 0.0,
        piece: float = math.inf,
    ) -> None:
        """`had`: seconds that each key has had, and of those that others got while it had no call (0: not named). One
        that is ahead by no more than `lead` is not kept waiting for it, and calls that need no more are before those
        that do. `piece`: the most seconds of a call that are one turn of its key; 0 or less: while no speed is known,
        whole calls are."""
        self._needs = needs
        self._now = now
        self._had = had
        self._lead = lead
        self._piece = piece if piece > 0 else math.inf
        self._lines = self._grouped()
        self._levels: dict[int, _Level] = {}
        self._all = 0.0
        self.ready = [now] * len(needs)
        self._in_order: list[tuple[int, float]] = []  # pieces: the place of the call, and seconds
        for number, names in itertools.groupby(self._lines, key=lambda name: name[0]):
            self._add_level(number, [self._lines[name] for name in names])

    def late(self, need: Need, had: float = 0.0, spare: float = 0.0) -> float:
        """By how many seconds a call that came now, or what it would keep waiting of its class, would be late; negative
        where all are in time. Calls of other keys count only where this one asks for more than its key's share: one
        that does not may push out others, that do. `had`: by its key, where that has no call in the plan. `spare`: the
        share of its time that it has to have to spare; calls of its own line are left that share of what they have to
        spare, as so much of its time may be more than all of theirs."""
        level, line = self._level(need.level), self._lines.get((need.level, need.key))
        new_key = line is None
        line = line or _Line(self._had.get(need.key, had))
        number = bisect_right(line.urgency, self._urgency(need))
        first, last = self._turns_of(need, level, line, number)
        ready = self._now + level.begin + (level.sums[last - 1] if last else 0.0) + need.seconds
        own_spare = spare * (need.deadline - self._now)
        late = ready - need.deadline + own_spare
        if number < len(line.slack):
            late = max(late, need.seconds - (1 - spare) * self._slack_for(need, line)[number])
        share = (need.deadline - self._now) / (level.keys + new_key)
        if first < len(level.slack) and line.before(number) + need.seconds > share:
            late = max(late, need.seconds - level.slack[first] + own_spare)
        return late

    def _slack_for(self, need: Need, line: _Line) -> list[float]:
        return line.whole_slack if need.seconds <= self._lead else line.slack

    def _turns_of(self, need: Need, level: _Level, line: _Line, number: int) -> tuple[int, int]:
        """Where in a level's order the first and the last piece of a call would come that is not in the plan. `number`:
        the pieces of its line before it."""
        at = line.at[number - 1] + 1 if number else 0
        most = line.at[number] if number < len(line.at) else len(level.sums)  # those of its own that are due later
        had, first, urgency = line.base + line.before(number), None, self._urgency(need)
        for seconds in self._pieces(need):
            at = max(at, bisect_left(level.least_had, had - self._lead))
            while at < most and level.urgency[at] <= urgency:
                at += 1
            at = min(at, most)
            had += seconds
            first = at if first is None else first
        return first or 0, at

    def pressed(self, share: float, seconds: float) -> list[int]:
        """Calls that have to go before those of their key that are due later: with no more to spare than `share` of
        the time they have, and `seconds`."""
        return [
            place
            for place, (need, ready) in enumerate(zip(self._needs, self.ready, strict=True))
            if need.deadline - ready <= share * (need.deadline - self._now) + seconds
        ]

    def spare(self) -> list[float]:
        """For each call the seconds by which it and all of its line that come after it would be early. To one that
        needs no more than `lead`, calls of several pieces do not count, as at the door."""
        found = [0.0] * len(self._needs)
        for line in self._lines.values():
            for number, place in enumerate(line.places):
                found[place] = self._slack_for(self._needs[place], line)[number]
        return found

    def hopeless(self, share: float, seconds: float) -> list[tuple[int, float]]:
        """Calls to be given up so that the others are ready in time, each with the seconds by which one would have been
        late. Late by less than `share` of the time that is left, and `seconds`, counts as in time.

        Where a call is late, one of its own line that is before it, or itself, is given up: of those of which least is
        done the one that needs most, as that makes the fewest calls; then the newest (after Moore 1968). For a call of
        many pieces none is given up that needs no more than `lead`.
        """
        going: list[tuple[int, float]] = []
        begun: dict[_Name, list[tuple[int, float, int]]] = {}
        spent: dict[int, float] = {}  # seconds up to here of the calls that have begun, by place
        given_up: set[int] = set()
        at = self._now
        for place, part in self._in_order:
            if place in given_up:
                continue
            need = self._needs[place]
            line = begun.setdefault((need.level, need.key), [])
            if place not in spent:
                heapq.heappush(line, (int(need.done * _DONE_STEPS), -need.seconds, -place))
            spent[place] = spent.get(place, 0.0) + part
            at += part
            most = need.deadline + share * max(0.0, need.deadline - self._now) + seconds
            while at > most and need.seconds > 0:
                gone = self._pushed_out(line, need)
                going.append((gone, at - need.deadline))
                given_up.add(gone)
                at -= spent[gone]
                if gone == place:
                    break
        return going

    def _pushed_out(self, line: list[tuple[int, float, int]], late: Need) -> int:
        """Takes the call from a line's heap that is given up for the late one, which is in it."""
        aside = []
        while late.seconds > self._piece and self._needs[-line[0][2]].seconds <= self._lead:
            aside.append(heapq.heappop(line))
        gone = -heapq.heappop(line)[2]
        for each in aside:
            heapq.heappush(line, each)
        return gone

    def _grouped(self) -> dict[_Name, _Line]:
        """The lines, the better classes first."""
        by_line: dict[_Name, list[int]] = {}
        for place, need in enumerate(self._needs):
            by_line.setdefault((need.level, need.key), []).append(place)
        lines: dict[_Name, _Line] = {}
        had = dict(self._had)
        for name in sorted(by_line):
            line = lines[name] = _Line(had.get(name[1], 0.0))
            in_order = sorted(by_line[name], key=lambda place: (self._urgency(self._needs[place]), place))
            pieces = [(place, seconds) for place in in_order for seconds in self._pieces(self._needs[place])]
            line.places = [place for place, _ in pieces]
            line.urgency = [self._urgency(self._needs[place]) for place in line.places]
            line.sums = list(itertools.accumulate(seconds for _, seconds in pieces))
            had[name[1]] = line.base + line.sums[-1]
        return lines

    def _urgency(self, need: Need) -> _Urgency:
        return need.seconds > self._lead, need.deadline

    def _pieces(self, need: Need) -> list[float]:
        """The seconds of its turns: what is left of the present one, whole ones, and a rest."""
        if need.seconds <= self._piece:
            return [need.seconds]
        first = self._piece - need.got % self._piece
        whole, rest = divmod(need.seconds - first, self._piece)
        return [first, *[self._piece] * int(whole), *([rest] if rest else [])]

    def _add_level(self, number: int, lines: Sequence[_Line]) -> None:
        level = self._levels[number] = _Level(self._all, len(lines))
        total = 0.0
        for least_had, line, piece in self._turns(lines):
            place, seconds = line.places[piece], line.sums[piece] - line.before(piece)
            total += seconds
            self.ready[place] = self._now + self._all + total
            line.at.append(len(level.sums))
            level.urgency.append(self._urgency(self._needs[place]))
            level.sums.append(total)
            level.least_had.append(least_had)
            self._in_order.append((place, seconds))
        level.slack = self._least_slack([place for place, _ in self._in_order[-len(level.sums) :]])
        for line in lines:
            line.slack = self._least_slack(line.places)
            line.whole_slack = self._least_slack(line.places, self._piece)
        self._all += total

    def _least_slack(self, places: Sequence[int], most: float = math.inf) -> list[float]:
        """From each place on; calls that need more than `most` seconds do not count."""
        slack = [
            self._needs[place].deadline - self.ready[place] if self._needs[place].seconds <= most else math.inf
            for place in reversed(places)
        ]
        return list(itertools.accumulate(slack, min))[::-1]

    def _turns(self, lines: Sequence[_Line]) -> Iterator[tuple[float, _Line, int]]:
        """The pieces of a level in their order, each as its line and number there, with what the key that has had least
        has had by then."""
        waiting = [(self._begin_of(line, 0), number) for number, line in enumerate(lines)]
        heapq.heapify(waiting)
        able: list[tuple[_Urgency, float, int]] = []
        begins: list[tuple[float, int]] = list(waiting)  # of all that wait or are able, and some that are done
        served = [0] * len(lines)
        least = float("-inf")
        while waiting or able:
            while begins[0][0] < self._begin_of(lines[begins[0][1]], served[begins[0][1]]):
                heapq.heappop(begins)
            least = max(least, begins[0][0])
            while waiting and waiting[0][0] <= least + self._lead:
                begin, number = heapq.heappop(waiting)
                following = self._needs[lines[number].places[served[number]]]
                heapq.heappush(able, (self._urgency(following), begin, number))
            _, _, number = heapq.heappop(able)
            line = lines[number]
            yield least, line, served[number]
            served[number] += 1
            if served[number] < len(line.places):
                heapq.heappush(waiting, (self._begin_of(line, served[number]), number))
                heapq.heappush(begins, (self._begin_of(line, served[number]), number))

    def _begin_of(self, line: _Line, number: int) -> float:
        """What a key has had when one of its pieces began; infinite behind the last."""
        if number == len(line.places):
            return float("inf")
        return line.base + line.before(number) - (0.0 if number else self._needs[line.places[0]].got % self._piece)

    def _level(self, number: int) -> _Level:
        """That of a class, which may have no call."""
        level = self._levels.get(number)
        if level is None:
            level = _Level(next((self._levels[n].begin for n in sorted(self._levels) if n > number), self._all))
        return level
