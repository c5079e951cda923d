"""Whose turn it is: classes and ageing, new calls before those that have had their share, turns worth their tokens."""

from __future__ import annotations

import itertools

from service.scheduling.calls.queued import AGEING_SECONDS, PIECE_TOKENS, QueuedCall
from service.scheduling.queue import CallQueue


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Calls:
    """A queue of calls by name, whose documents have ten tokens each."""

    def __init__(self, turn_tokens: int, first_tokens: int | None = None) -> None:
        self.clock = Clock()
        first = turn_tokens if first_tokens is None else first_tokens
        self.queue = CallQueue(self.clock, turn_tokens=turn_tokens, first_tokens=first)
        self.names: dict[QueuedCall, str] = {}

    def add(self, name: str, count: int, priority: int = 1) -> QueuedCall:
        call = self.queue.add([10] * count, priority)
        self.names[call] = name
        return call

    def taken(self, count: int) -> list[str]:
        """The calls whose documents come next, each charged for its tokens."""
        calls: list[str] = []
        for call, _ in self.queue.take(lambda _: len(calls) < count):
            self.queue.charge(call, 10)
            calls.append(self.names[call])
        return calls


def test_calls_take_turns_that_are_worth_their_tokens() -> None:
    calls = Calls(turn_tokens=20)
    for name, count in (("a", 5), ("b", 3), ("c", 1)):
        calls.add(name, count)
    assert "".join(calls.taken(9)) == "aabbcaaba"


def test_turns_go_on_over_several_rounds_of_handing_out() -> None:
    calls = Calls(turn_tokens=20)
    for name, count in (("a", 5), ("b", 3), ("c", 1)):
        calls.add(name, count)
    assert "".join("".join(calls.taken(1)) for _ in range(9)) == "aabbcaaba"


def test_a_call_ends_in_its_turn_before_the_next_begins() -> None:
    calls = Calls(turn_tokens=1000)
    for name in "abc":
        calls.add(name, 3)
    assert "".join(calls.taken(9)) == "aaabbbccc"


def test_the_shortest_of_a_call_comes_first() -> None:
    queue = CallQueue(Clock())
    queue.add([5, 3, 9, 1], 1)
    assert [index for _, index in queue.take(lambda _: True)] == [3, 1, 0, 2]


def test_priority_goes_first_and_waiting_raises_it() -> None:
    calls = Calls(turn_tokens=20)
    for name, priority in (("late", 2), ("usual", 1), ("first", 0)):
        calls.add(name, 1, priority)
    assert calls.taken(1) == ["first"]
    calls.clock.now = 2 * AGEING_SECONDS
    calls.add("first", 1, 0)
    assert calls.taken(3) == ["usual", "late", "first"]


def test_a_new_call_goes_before_one_that_has_had_its_first_share() -> None:
    calls = Calls(turn_tokens=1000, first_tokens=30)
    calls.add("old", 9)
    assert calls.taken(4) == ["old"] * 4
    calls.add("new", 2)
    assert calls.taken(4) == ["new", "new", "old", "old"]


def test_a_call_that_is_served_does_not_age_past_those_that_wait() -> None:
    """Else a call of a thousand documents would go before all new ones from its tenth second on."""
    calls = Calls(turn_tokens=20)
    calls.add("large", 100)
    for second in range(60):
        calls.clock.now = float(second)
        assert calls.taken(1) == ["large"]
    calls.add("small", 1)
    assert calls.taken(2) == ["small", "large"]


def test_no_call_is_kept_from_its_turn_for_ever() -> None:
    calls = Calls(turn_tokens=20)
    calls.add("last", 3, 2)
    served = 0
    for second in range(100):
        calls.clock.now = float(second)
        calls.add("urgent", 1, 0)
        served += calls.taken(1) == ["last"]
    assert served == 3, "one that has waited for long goes before new ones of the first class"


def test_calls_that_may_not_be_served_are_passed_over() -> None:
    calls = Calls(turn_tokens=20)
    first, second = calls.add("a", 2), calls.add("b", 2)
    assert [calls.names[call] for call, _ in calls.queue.take(lambda call: call is second)] == ["b", "b"]
    assert len(first.pending) == 2


def test_only_calls_that_have_had_their_share_go_behind_and_only_behind_new_ones_of_their_class() -> None:
    calls = Calls(turn_tokens=1000, first_tokens=20)
    old = calls.add("old", 9)
    calls.taken(2)
    assert not calls.queue.behind(0.0)(old)
    late = calls.add("late", 1, 2)
    assert not calls.queue.behind(0.0)(old)
    new = calls.add("new", 1, 1)
    assert calls.queue.behind(0.0)(old)
    assert not calls.queue.behind(0.0)(new)
    assert not calls.queue.behind(0.0)(late)
    calls.queue.remove(new)
    assert not calls.queue.behind(0.0)(old)


def test_a_small_new_call_goes_before_larger_new_ones_of_its_key() -> None:
    queue = CallQueue(Clock())
    for _ in range(8):
        queue.add([100] * 200, 1)
    small = queue.add([100] * 10, 1)
    taken = [call for call, _ in itertools.islice(queue.take(lambda _: True), 10)]
    assert taken == [small] * 10


def test_it_still_does_where_these_have_waited_for_long_but_not_for_ever() -> None:
    clock = Clock()
    queue = CallQueue(clock)
    large = queue.add([100] * 200, 1)
    for seconds, first_is_small in ((15.0, True), (45.0, False)):
        clock.now = seconds
        small = queue.add([100] * 10, 1)
        assert next(queue.take(lambda _: True))[0] is (small if first_is_small else large)
        queue.remove(small)


def test_pressed_calls_go_first_by_their_deadlines() -> None:
    queue = CallQueue(Clock())
    later, sooner, unpressed = (queue.add([100] * 3, 1, deadline=due) for due in (20.0, 10.0, 30.0))
    queue.press([later])
    assert [call for call, _ in queue.take(lambda _: True)] == [sooner] * 3 + [later] * 3 + [unpressed] * 3
    assert not queue.behind(0.0)(later)


def test_pressed_calls_of_other_keys_take_turns_by_whole_calls() -> None:
    queue = CallQueue(Clock(), first_tokens=0, key_turn_tokens=100, small_tokens=0)
    a, b, c = (queue.add([100] * 5, 1, key, deadline=due) for key, due in (("a", 30.0), ("b", 10.0), ("c", 20.0)))
    again = queue.add([100] * 5, 1, "b", deadline=5.0)
    queue.press([a, b, c, again])
    calls = []
    for call, _ in queue.take(lambda _: True):
        queue.charge(call, 100)
        calls.append(call)
    assert calls == [again] * 5 + [c] * 5 + [a] * 5 + [b] * 5, "b's second call waits until the others have had as much"


def test_a_pressed_call_is_ahead_of_other_keys_by_one_piece_at_most() -> None:
    queue = CallQueue(Clock(), first_tokens=0, key_turn_tokens=128, small_tokens=0)
    calls = [queue.add([128] * 1000, 1, key, deadline=due) for key, due in (("a", 10.0), ("b", 20.0))]
    queue.press(calls)
    had = dict.fromkeys("ab", 0)
    for call, _ in queue.take(lambda _: True):
        queue.charge(call, 128)
        had[call.share.key] += 128
        assert abs(had["a"] - had["b"]) <= PIECE_TOKENS or not calls[0].pending
    assert had == dict.fromkeys("ab", 128_000)


def test_a_small_call_of_a_key_within_its_share_does_not_wait_for_pressed_ones() -> None:
    """It is due later than they are; where its key has had more, it waits until they have had as much."""
    queue = CallQueue(Clock(), key_turn_tokens=128)
    large = queue.add([128] * 1000, 1, "a", deadline=10.0)
    queue.press([large])
    waits = []
    for number in range(10):
        small = queue.add([128] * 8, 1, "b", deadline=1000.0 + number)
        waits.append(0)
        for call, _ in queue.take(lambda _: True):
            queue.charge(call, 128)
            waits[-1] += 128 * (call is large)
            if not small.pending:
                break
        queue.remove(small)
    assert waits[0] == 0
    assert max(waits) <= 8 * 128 + 128, "as much as the call before it has had"
    assert large.pending


def test_a_class_does_not_age_while_it_is_served() -> None:
    """Calls that are pressed do not take turns, so that each would age by itself."""
    clock = Clock()
    queue = CallQueue(clock)
    calls = [queue.add([100] * 50, 1, deadline=1000.0 + number) for number in range(5)]
    queue.press(calls)
    for second in range(60):
        clock.now = float(second)
        call, _ = next(queue.take(lambda _: True))
        queue.charge(call, 100)
    urgent = queue.add([100], 0)
    assert next(queue.take(lambda _: True))[0] is urgent


def test_where_none_of_many_may_be_served_not_all_are_looked_at() -> None:
    queue = CallQueue(Clock())
    for _ in range(5000):
        queue.add([100], 1)
    asked: list[QueuedCall] = []

    def refuse(call: QueuedCall) -> bool:
        asked.append(call)
        return False

    for _ in range(3):
        assert not list(queue.take(refuse))
    assert len(asked) <= 1000
    assert len(list(queue.take(lambda _: True))) == 5000


def test_those_that_may_not_be_served_keep_their_place() -> None:
    queue = CallQueue(Clock())
    calls = [queue.add([100] * 2, 1) for _ in range(3)]
    assert [call for call, _ in queue.take(lambda call: call is calls[1])] == [calls[1]] * 2
    assert [call for call, _ in queue.take(lambda _: True)] == [calls[0]] * 2 + [calls[2]] * 2
