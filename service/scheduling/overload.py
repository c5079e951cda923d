"""Keeps the service from working for calls that will be too late: at the door, and again and again while calls run.

A call is let in where it and those before it can be in time (`plan`). As long as all have time to spare calls take
turns; once one has none they go one after the other, the most urgent first. Where the engine turns out slower than was
thought, as few calls as possible are given up, as soon as that is seen and not at their deadlines. Reasoning needs no
more than its direct verdicts: it is ended early where others would be late for it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence

from service.engine import Scoring
from service.errors import DeadlineExceeded, Unavailable
from service.scheduling.calls.entry import Entry
from service.scheduling.calls.queued import PIECE_TOKENS
from service.scheduling.plan import Need, Plan
from service.scheduling.queue import FIRST_TOKENS
from service.scheduling.throughput import Throughput
from service.scheduling.window import Window
from service.scheduling.work import Incoming

LONGEST_RETRY_AFTER_SECONDS = 60.0
# Shares of the time that a call has left, and seconds. Speed is measured by the half second and varies by some
# percent. So a call comes in with a tenth to spare, and is given up only where it would be late for certain.
_SPARE_AT_THE_DOOR = 0.1
_PRESSED = 0.15, 0.5
_TOO_LATE = 0.05, 0.25
_EVERY_SECONDS = 0.25
_SECONDS_PER_CALL = 1e-4  # between two plans: with a thousand calls and more they are made less often
_PART = 32  # of all calls; when so many more have come, the plan is made anew


def retry_after(seconds: float) -> float:
    """What a caller is told to wait where room is expected in so many seconds."""
    return min(max(1.0, math.ceil(seconds)), LONGEST_RETRY_AFTER_SECONDS)


class Overload:
    """Runs on one event loop, beside the window's calls."""

    def __init__(self, window: Window, throughput: Throughput, clock: Callable[[], float] = time.monotonic) -> None:
        self._window = window
        self._throughput = throughput
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._plan: Plan | None = None
        self._made = -math.inf
        self._calls = 0  # in the plan
        self._held: list[tuple[Need, float]] = []  # of the plan's calls, what the engine holds, in seconds
        self._new = 0  # calls that came since
        self._new_seconds = 0.0

    def check(self, call: Incoming, tokens: int) -> None:
        """Raise Unavailable for a call whose prompts have so many tokens and that would be late, or would make others
        late; DeadlineExceeded where that has passed."""
        now = self._clock()
        left = call.deadline - now
        if left <= 0:
            raise DeadlineExceeded("The deadline had passed before the call could be admitted.")
        needs = self._direct_seconds(tokens)
        if not self._window.calls:
            # What is known of the speed may be old or a guess: alone, a call shows it anew.
            late = needs - left if self._throughput.known(Scoring.DIRECT) else 0.0
        else:
            need = Need(call.key, self._window.level(call.priority, now), call.deadline, needs)
            had = self._direct_seconds(self._window.had(call.key))
            late = self._current(now).late(need, had, _SPARE_AT_THE_DOOR) + self._new_seconds + self._in_its_way(need)
        if late > 0:
            raise Unavailable(
                f"The call's {call.documents} documents and what was admitted before them would take about "
                f"{left + late:.1f} s, but they are due in {left:.1f} s; retry later, send fewer, or allow more time.",
                reason="deadline",
                retry_after=retry_after(late),
            )

    def entered(self, entry: Entry) -> None:
        """A call has entered the window."""
        self._new += 1
        self._new_seconds += self._direct_seconds(entry.left)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_EVERY_SECONDS, self._look)

    def _look(self) -> None:
        """Give up what is hopeless, and see who has no time left to take turns."""
        self._timer = None
        entries = self._window.entries
        if not entries:
            self._window.press((), ())
            return
        plan = self._made_of(entries, self._clock())
        if self._throughput.known(Scoring.DIRECT) and (going := plan.hopeless(*_TOO_LATE)):
            for place, late in going:
                entries[place].fail(_given_up(entries[place], late))
            entries = self._window.entries
            plan = self._made_of(entries, self._clock())
        share, seconds = _PRESSED
        in_engine = sum(held for _, held in self._held)  # that has to be waited for
        # Turns have been taken from the time of all: where one has none left, the others go on to their ends, too.
        hurried = [entries[place] for place in plan.pressed(share, seconds + in_engine)]
        self._window.press(entries if hurried else (), hurried)
        for entry, spare in zip(entries, plan.spare(), strict=True):
            entry.reason_until = self._made + max(0.0, spare)
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._look)

    @property
    def _interval(self) -> float:
        return max(_EVERY_SECONDS, _SECONDS_PER_CALL * self._calls)

    def _current(self, now: float) -> Plan:
        """The plan, made anew where it is old or many calls have come since."""
        fresh = now - self._made < self._interval and self._new * _PART <= self._calls
        return self._plan if self._plan is not None and fresh else self._made_of(self._window.entries, now)

    def _made_of(self, entries: Sequence[Entry], now: float) -> Plan:
        needs = [self._need(entry, now) for entry in entries]
        in_engine = [self._direct_seconds(entry.in_engine) for entry in entries]
        # What is handed over counts as had, and is still needed.
        had = {key: self._direct_seconds(self._window.had(key)) for key in {need.key for need in needs}}
        for need, seconds in zip(needs, in_engine, strict=True):
            had[need.key] -= seconds
        self._held = [(need, seconds) for need, seconds in zip(needs, in_engine, strict=True) if seconds]
        lead = self._direct_seconds(FIRST_TOKENS)
        piece = self._direct_seconds(PIECE_TOKENS)
        self._plan, self._made, self._calls = Plan(needs, now, had, lead, piece), now, len(entries)
        self._new, self._new_seconds = 0, 0.0
        return self._plan

    def _need(self, entry: Entry, now: float) -> Need:
        work, place = entry.work, entry.place
        over = now >= work.deadline  # it reasoned, and is about to answer
        seconds = 0.0 if over else self._direct_seconds(entry.left)
        got = self._direct_seconds(place.served - entry.in_engine) if place.pressed else 0.0  # as the queue sees it
        done = len(entry.completions) / len(entry.costs)
        return Need(work.key, self._window.level(place.priority, now), work.deadline, seconds, done, got)

    def _in_its_way(self, need: Need) -> float:
        """Seconds of what the engine holds that the plan has behind a call: the engine does it first."""
        return sum(
            seconds
            for other, seconds in self._held
            if other.key != need.key or (other.level, other.deadline) > (need.level, need.deadline)
        )

    def _direct_seconds(self, tokens: float) -> float:
        return self._throughput.seconds_for(Scoring.DIRECT, max(0.0, tokens))


def _given_up(entry: Entry, late: float) -> Unavailable:
    return Unavailable(
        f"With what else was admitted, not all of the {len(entry.costs)} documents could have been scored in time; "
        "retry later, send fewer, or allow more time.",
        reason="deadline",
        retry_after=retry_after(late),
    )
