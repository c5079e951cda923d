"""When each admitted call would be ready if keys kept their fair shares and every key did its most urgent calls first.

Pure arithmetic, in seconds of the whole engine. Within a key and a class calls go by their deadlines (Liu and Layland
1973). Between keys whole calls take turns: that key is next whose call is due first, of those that have had no more
than the others (after worst-case fair queueing, Bennett and Zhang 1996). So calls of many keys end one by one, instead
of all of them late; and a key with short deadlines is ahead of its share by one call at most.

Worked out: `a` has calls of 4 and 2 seconds due in 20 and 5, `b` one of 3 seconds due in 30. Nobody has had anything,
so `a`'s urgent call is first, ready after 2 seconds. Then `a` has had 2 and `b` nothing: `b`'s is ready after 5, and
`a`'s other one after 9.
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

_NOTHING: Mapping[str, float] = {}
_DONE_STEPS = 10  # calls of which as many tenths are done count as equal
_Name = tuple[int, str]  # of a line: class and key


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
    """The calls of a key in one class, earliest deadline first: their `places` among the needs, and `sums` of their
    seconds up to each. `base`: what the key has had before them. `slack`: between ready and deadline, the least from
    each call on; `at`: where in the level's order each is."""

    base: float
    places: list[int] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)
    sums: list[float] = field(default_factory=list)
    slack: list[float] = field(default_factory=list)
    at: list[int] = field(default_factory=list)

    def before(self, number: int) -> float:
        """Seconds of the calls before one."""
        return self.sums[number - 1] if number else 0.0


@dataclass(slots=True)
class _Level:
    """All calls of one class in their order. `begin`: seconds of the better classes; `sums` of the seconds up to each;
    `least_had` by any key when its turn comes; the least `slack` from each call on. `keys`: how many."""

    begin: float
    keys: int = 0
    deadlines: list[float] = field(default_factory=list)
    sums: list[float] = field(default_factory=list)
    least_had: list[float] = field(default_factory=list)
    slack: list[float] = field(default_factory=list)


class Plan:
    """`ready`: when each of `needs` would be ready, in their order."""

    def __init__(
        self, needs: Sequence[Need], now: float, had: Mapping[str, float] = _NOTHING, lead: float = 0.0
    ) -> None:
        """`had`: seconds that each key has had, and of those that others got while it had no call (0: not named). One
        that is ahead by no more than `lead` is not kept waiting for it."""
        self._needs = needs
        self._now = now
        self._had = had
        self._lead = lead
        self._lines = self._grouped()
        self._levels: dict[int, _Level] = {}
        self._all = 0.0
        self.ready = [now] * len(needs)
        self._in_order: list[int] = []
        for number, names in itertools.groupby(self._lines, key=lambda name: name[0]):
            self._add_level(number, [self._lines[name] for name in names])

    def late(self, need: Need, had: float = 0.0) -> float:
        """By how many seconds a call that came now, or what it would keep waiting of its class, would be late; negative
        where all are in time. Calls of other keys count only where this one asks for more than its key's share: one
        that does not may push out others, that do. `had`: by its key, where that has no call in the plan."""
        level, line = self._level(need.level), self._lines.get((need.level, need.key))
        new_key = line is None
        line = line or _Line(self._had.get(need.key, had))
        number = bisect_right(line.deadlines, need.deadline)
        first = line.at[number - 1] + 1 if number else 0
        at = max(first, bisect_left(level.least_had, line.base + line.before(number) - self._lead))
        while at < len(level.deadlines) and level.deadlines[at] <= need.deadline:
            at += 1
        ready = self._now + level.begin + (level.sums[at - 1] if at else 0.0) + need.seconds
        late = ready - need.deadline
        if number < len(line.slack):
            late = max(late, need.seconds - line.slack[number])
        share = (need.deadline - self._now) / (level.keys + new_key)
        if at < len(level.slack) and line.before(number) + need.seconds > share:
            late = max(late, need.seconds - level.slack[at])
        return late

    def pressed(self, share: float, seconds: float) -> list[int]:
        """Calls that have to go before those of their key that are due later: with no more to spare than `share` of
        the time they have, and `seconds`."""
        return [
            place
            for place, (need, ready) in enumerate(zip(self._needs, self.ready, strict=True))
            if need.deadline - ready <= share * (need.deadline - self._now) + seconds
        ]

    def spare(self) -> list[float]:
        """For each call the seconds by which it and all of its line that are due later would be early."""
        found = [0.0] * len(self._needs)
        for line in self._lines.values():
            for place, slack in zip(line.places, line.slack, strict=True):
                found[place] = slack
        return found

    def hopeless(self, share: float, seconds: float) -> list[tuple[int, float]]:
        """Calls to be given up so that the others are ready in time, each with the seconds by which one would have been
        late. Late by less than `share` of the time that is left, and `seconds`, counts as in time.

        Where a call is late, one of its own line that is before it, or itself, is given up: of those of which least is
        done the one that needs most, as that makes the fewest calls; then the newest (after Moore 1968).
        """
        going: list[tuple[int, float]] = []
        begun: dict[_Name, list[tuple[int, float, int]]] = {}
        at = self._now
        for place in self._in_order:
            need = self._needs[place]
            at += need.seconds
            line = begun.setdefault((need.level, need.key), [])
            heapq.heappush(line, (int(need.done * _DONE_STEPS), -need.seconds, -place))
            most = need.deadline + share * max(0.0, need.deadline - self._now) + seconds
            while at > most and need.seconds > 0:
                _, freed, gone = heapq.heappop(line)
                going.append((-gone, at - need.deadline))
                at += freed
                if -gone == place:
                    break
        return going

    def _grouped(self) -> dict[_Name, _Line]:
        """The lines, the better classes first."""
        by_line: dict[_Name, list[int]] = {}
        for place, need in enumerate(self._needs):
            by_line.setdefault((need.level, need.key), []).append(place)
        lines: dict[_Name, _Line] = {}
        had = dict(self._had)
        for name in sorted(by_line):
            line = lines[name] = _Line(had.get(name[1], 0.0))
            line.places = sorted(by_line[name], key=lambda place: (self._needs[place].deadline, place))
            line.deadlines = [self._needs[place].deadline for place in line.places]
            line.sums = list(itertools.accumulate(self._needs[place].seconds for place in line.places))
            had[name[1]] = line.base + line.sums[-1]
        return lines

    def _add_level(self, number: int, lines: Sequence[_Line]) -> None:
        level = self._levels[number] = _Level(self._all, len(lines))
        total = 0.0
        for least_had, line, place in self._turns(lines):
            total += self._needs[place].seconds
            self.ready[place] = self._now + self._all + total
            line.at.append(len(level.sums))
            level.deadlines.append(self._needs[place].deadline)
            level.sums.append(total)
            level.least_had.append(least_had)
            self._in_order.append(place)
        level.slack = self._least_slack(self._in_order[-len(level.sums) :])
        for line in lines:
            line.slack = self._least_slack(line.places)
        self._all += total

    def _least_slack(self, places: Sequence[int]) -> list[float]:
        slack = [self._needs[place].deadline - self.ready[place] for place in reversed(places)]
        return list(itertools.accumulate(slack, min))[::-1]

    def _turns(self, lines: Sequence[_Line]) -> Iterator[tuple[float, _Line, int]]:
        """The calls of a level in their order, each with what the key that has had least has had by then."""
        waiting = [(self._begin_of(line, 0), number) for number, line in enumerate(lines)]
        heapq.heapify(waiting)
        able: list[tuple[float, float, int]] = []  # by deadline
        begins: list[tuple[float, int]] = list(waiting)  # of all that wait or are able, and some that are done
        served = [0] * len(lines)
        least = float("-inf")
        while waiting or able:
            while begins[0][0] < self._begin_of(lines[begins[0][1]], served[begins[0][1]]):
                heapq.heappop(begins)
            least = max(least, begins[0][0])
            while waiting and waiting[0][0] <= least + self._lead:
                begin, number = heapq.heappop(waiting)
                heapq.heappush(able, (lines[number].deadlines[served[number]], begin, number))
            _, _, number = heapq.heappop(able)
            line = lines[number]
            yield least, line, line.places[served[number]]
            served[number] += 1
            if served[number] < len(line.places):
                following = self._begin_of(line, served[number]), number
                heapq.heappush(waiting, following)
                heapq.heappush(begins, following)

    def _begin_of(self, line: _Line, number: int) -> float:
        """What a key has had when one of its calls began; infinite behind the last."""
        if number == len(line.places):
            return float("inf")
        return line.base + line.before(number) - (0.0 if number else self._needs[line.places[0]].got)

    def _level(self, number: int) -> _Level:
        """That of a class, which may have no call."""
        level = self._levels.get(number)
        if level is None:
            level = _Level(next((self._levels[n].begin for n in sorted(self._levels) if n > number), self._all))
        return level
