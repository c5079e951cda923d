"""Under any load about as many documents are answered in time as the engine can do, and no key gains by its deadlines.

Everything runs in scripted time: the figures are the same on any machine.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from service.scheduling import admission, overload
from service.scheduling.plan import Need, Plan
from tests.scripted_time import now, scripted_time
from tests.service.scheduling.offered_load import (
    TOKENS,
    TRACE,
    Machine,
    Offer,
    Offered,
    Outcome,
    in_time,
    poisson,
)
from tests.waiting import turns

SECONDS = 120.0
AT_ONCE = 1.0  # seconds
# Documents a second. At 13 a call of 100 takes most of a deadline of 10 s; at 70 several fit into it.
CAPACITIES = (13.0, 40.0)


def steady(capacity: float) -> Callable[[], float]:
    return lambda: capacity * TOKENS


def changing(capacity: float) -> Callable[[], float]:
    """A machine that others use too: for ten seconds of each forty it has half of its speed."""
    return lambda: capacity * TOKENS * (0.5 if now() % 40 < 10 else 1.0)


async def offered(load: float, capacity: float, rate: Callable[[], float]) -> tuple[float, list[Outcome]]:
    """Documents answered in time as a share of what the machine could do."""
    door = Offered(Machine(rate=rate))
    outcomes = await door.run(poisson(load, capacity, SECONDS))
    print(f"load {load}: {share_of(outcomes, capacity):.2f} {tally(outcomes)}")
    assert (door.window.running, door.window.queued, door.window.calls) == (0, 0, 0)
    return share_of(outcomes, capacity), outcomes


def share_of(outcomes: list[Outcome], capacity: float) -> float:
    """Documents answered in time while calls came, as a share of what the machine could do in that time."""
    within = [each for each in outcomes if each.offer.at + each.took <= SECONDS]
    return in_time(within) / (capacity * SECONDS)


def tally(outcomes: list[Outcome]) -> dict[str, int]:
    found = dict.fromkeys(("answered", "refused", "given_up", "late"), 0)
    for each in outcomes:
        later = "given_up" if each.took > AT_ONCE else "refused"
        found["answered" if each.status == 200 else "late" if each.status == 504 else later] += 1
    return found


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("rate", [steady, changing])
@scripted_time
async def test_overloaded_it_answers_as_much_in_time_as_at_load_one(
    rate: Callable[[float], Callable[[], float]], capacity: float
) -> None:
    one, _ = await offered(1.0, capacity, rate(capacity))
    for load in (2.0, 4.0):
        share, outcomes = await offered(load, capacity, rate(capacity))
        assert share >= 0.9 * one
        assert all(1 <= (each.retry_after or 0) <= 60 for each in outcomes if each.status == 503)
        found = tally(outcomes)
        assert found["late"] <= 0.02 * len(outcomes)
        if rate is steady:
            assert not found["given_up"], "what is let in stays"


@pytest.mark.parametrize("keys", [3, 20])
@pytest.mark.parametrize("capacity", CAPACITIES)
@scripted_time
async def test_nor_is_less_answered_where_many_keys_ask_for_more_than_their_shares(capacity: float, keys: int) -> None:
    """Each for as much as the others. So long that what is under way at the end counts for little."""
    seconds = 400.0
    done: dict[float, float] = {}
    for load in (1.0, 2.0, 4.0):
        door = Offered(Machine(rate=steady(capacity)), several_keys=True)
        offers = [poisson(load / keys, capacity, seconds, seed=n, key=f"key {n}") for n in range(1, keys + 1)]
        outcomes = await door.run(itertools.chain(*offers))
        within = [each for each in outcomes if each.offer.at + each.took <= seconds]
        done[load] = in_time(within) / (capacity * seconds)
        of_keys = [in_time(each for each in within if each.offer.key == f"key {n}") for n in range(1, keys + 1)]
        print(f"load {load}: {done[load]:.2f} {tally(outcomes)}, of a key {min(of_keys)} to {max(of_keys)}")
        assert tally(outcomes)["late"] <= 0.02 * len(outcomes)
    assert min(done[2.0], done[4.0]) >= max(0.8, 0.9 * done[1.0])


@scripted_time
async def test_below_capacity_all_that_can_be_answered_is() -> None:
    share, outcomes = await offered(0.5, 40.0, steady(40.0))
    assert sum(each.status == 200 for each in outcomes) >= 0.97 * len(outcomes)
    assert share >= 0.45


@pytest.mark.parametrize(("documents", "due"), [(60, 5.0), (100, 10.0), (200, 25.0)])
@scripted_time
async def test_a_small_call_with_much_time_is_let_in_beside_one_with_little(documents: int, due: float) -> None:
    """Of one key, three quarters of the capacity at most: a tenth of 300 s is more than the others have in all."""
    door = Offered(Machine(rate=steady(40.0)))
    outcomes = await door.run(
        [
            *(Offer(1.0 + 10.0 * n, documents, due) for n in range(12)),
            *(Offer(1.5 + n, 10, 300.0) for n in range(120)),
        ]
    )
    assert {each.status for each in outcomes} == {200}


@scripted_time
async def test_forty_calls_at_once_are_not_all_late_together() -> None:
    """Ten of them fit into the deadline: about ten are answered, and the others are told at once."""
    door = Offered(Machine(rate=steady(3.0)))
    outcomes = await door.run([Offer(0.0, 90, 300.0)] + [Offer(60.0, 90, 300.0) for _ in range(40)])
    answered = [each for each in outcomes if each.status == 200]
    assert len(answered) >= 9
    assert all(each.took < 1.0 for each in outcomes if each.status == 503)
    assert not [each for each in outcomes if each.status == 504]


@scripted_time
async def test_nor_are_forty_of_as_many_keys() -> None:
    door = Offered(Machine(rate=steady(3.0)), several_keys=True)
    offers = [Offer(60.0 + n, 90, 300.0 + n, f"key {n}") for n in range(40)]
    outcomes = await door.run([Offer(0.0, 90, 300.0), *offers])
    assert len([each for each in outcomes if each.status == 200]) >= 9
    assert not [each for each in outcomes if each.status == 504]


@pytest.mark.parametrize("hurried", [1, 3])
@scripted_time
async def test_short_deadlines_gain_a_key_no_more_than_its_share(hurried: int) -> None:
    """However much it sends: `hurried` times as much as the other, which alone would fill the machine."""
    capacity = 40.0
    door = Offered(Machine(rate=steady(capacity)), several_keys=True)
    offers = poisson(2.0, capacity, SECONDS, seed=1, key="patient", dues=(60.0,))
    offers += poisson(2.0 * hurried, capacity, SECONDS, seed=2, key="hurried", dues=(10.0,))
    outcomes = await door.run(offers)
    mine = in_time(outcomes, lambda offer: offer.key == "patient")
    others = in_time(outcomes, lambda offer: offer.key == "hurried")
    print(mine, others, tally(outcomes))
    assert mine + others >= 0.9 * capacity * SECONDS
    assert others <= 0.55 * (mine + others)


@scripted_time
async def test_a_key_that_sends_little_has_all_of_it_beside_a_flood_of_urgent_calls() -> None:
    capacity = 40.0
    door = Offered(Machine(rate=steady(capacity)), several_keys=True)
    offers = poisson(4.0, capacity, SECONDS, seed=1, key="flood", dues=(10.0,))
    offers += poisson(0.2, capacity, SECONDS, seed=2, key="modest", dues=(30.0,))
    outcomes = await door.run(offers)
    modest = [each for each in outcomes if each.offer.key == "modest"]
    print(tally(modest))
    assert sum(each.status == 200 for each in modest) >= 0.95 * len(modest)


@pytest.mark.parametrize(("documents", "every", "most"), [(10, 1.0, 2.0), (100, 12.0, 16.0)])
@pytest.mark.parametrize("due", [20.0, 60.0, 300.0])
@pytest.mark.parametrize("slower", [0.75, 0.65])
@pytest.mark.parametrize("large", [7000, 10_000])
@scripted_time
async def test_a_call_of_ten_thousand_without_time_to_spare_shuts_out_no_other_key(
    documents: int, every: float, most: float, due: float, slower: float, large: int
) -> None:
    """It was let in, then the machine got slower, so that it is pressed or even hopeless. Another key asks for a
    quarter of the machine: all of that is answered, about as soon as in fair turns."""
    capacity = 40.0
    door = Offered(Machine(rate=lambda: capacity * TOKENS * (1.0 if now() % 1000 < 20 else slower)), several_keys=True)
    bulk = [Offer(at, large, 300.0, "bulk") for at in (0.0, 30.0, 60.0, 150.0, 220.0)]
    calls = [Offer(2.0 + every * n, documents, due, "caller") for n in range(int(240 / every))]
    outcomes = await door.run([*bulk, *calls])
    mine = [each for each in outcomes if each.offer.key == "caller"]
    print(tally(mine), tally([each for each in outcomes if each.offer.key == "bulk"]), max(each.took for each in mine))
    assert {each.status for each in mine} == {200}
    assert max(each.took for each in mine) <= most


@pytest.mark.parametrize("again", [0.37, 30.0])
@pytest.mark.parametrize("slower", [0.9, 0.75, 0.65])
@scripted_time
async def test_nor_small_calls_of_its_own_key(slower: float, again: float) -> None:
    """It comes again and again, and is let in whenever the machine seems quick enough for it."""
    capacity = 40.0
    door = Offered(Machine(rate=lambda: capacity * TOKENS * (1.0 if now() % 40 < 20 else slower)))
    bulk = [Offer(again * n, 10_000, 300.0) for n in range(int(240 / again))]
    outcomes = await door.run([*bulk, *(Offer(2.03 + n, 10, 300.0) for n in range(240))])
    small = [each for each in outcomes if each.offer.documents == 10]
    assert {each.status for each in small} == {200}
    assert max(each.took for each in small) <= 2.0


@scripted_time
async def test_a_better_class_is_served_first_under_overload_too() -> None:
    capacity = 40.0
    door = Offered(Machine(rate=steady(capacity)))
    urgent = [
        Offer(each.at, each.documents, each.seconds, priority=0)
        for each in poisson(0.5, capacity, SECONDS, seed=1, dues=(30.0,))
    ]
    outcomes = await door.run([*urgent, *poisson(2.0, capacity, SECONDS, seed=2, dues=(10.0,))])
    first = [each for each in outcomes if each.offer.priority == 0]
    assert sum(each.status == 200 for each in first) >= 0.95 * len(first)
    assert in_time(outcomes) >= 0.9 * capacity * SECONDS


@pytest.mark.parametrize("of_same_keys", [False, True])
@scripted_time
async def test_nor_do_many_keys_of_a_worse_class_age_past_it(of_same_keys: bool) -> None:
    """Of twenty keys one has always waited for long; that makes the others no better than a call that has just come."""
    capacity, keys = 40.0, 20
    door = Offered(Machine(rate=steady(capacity)), several_keys=True)
    offers = [each for n in range(keys) for each in poisson(4.0 / keys, capacity, SECONDS, seed=n, key=f"key {n}")]
    for n in range(keys):
        name = f"key {n}" if of_same_keys else "better"
        for each in poisson(0.3 / keys, capacity, SECONDS, seed=100 + n, sizes=(10, 60)):
            offers.append(Offer(each.at, each.documents, each.seconds, name, priority=0))
    outcomes = await door.run(offers)
    better = [each for each in outcomes if each.offer.priority == 0]
    print(tally(better), tally(outcomes))
    assert sum(each.status == 200 for each in better) >= 0.95 * len(better)


@scripted_time
async def test_small_calls_beside_many_medium_ones_of_their_key_go_first() -> None:
    """8 calls of 500 documents at once, again and again; the small ones are as long as ten documents of a hundred
    words."""
    capacity, small_one = 40.0, 1300 // TOKENS
    alone = await Offered(Machine(rate=steady(capacity))).run([Offer(5.0 * n, small_one, 300.0) for n in range(20)])
    door = Offered(Machine(rate=steady(capacity)))
    offers = [Offer(5.0 + 58.0 * times, 280, 300.0) for times in range(3) for _ in range(8)]
    beside = await door.run([*offers, *(Offer(5.1 + 2.9 * n, small_one, 300.0) for n in range(60))])
    small = [each.took for each in beside if each.offer.documents == small_one]
    ratio = max(small) / statistics.median(each.took for each in alone)
    print(f"{ratio:.2f}")
    assert ratio <= 3.0


@scripted_time
async def test_reasoning_calls_answer_with_less() -> None:
    """At four times what could be reasoned about, about as many documents are answered as without reasoning."""
    capacity = 40.0
    door = Offered(Machine(rate=steady(capacity)))
    with_reasoning = capacity / (1 + TRACE / TOKENS)
    outcomes = await door.run(poisson(4.0, with_reasoning, SECONDS, budget=TRACE, dues=(30.0,)))
    print(tally(outcomes), in_time(outcomes) / SECONDS / capacity)
    assert in_time(outcomes) >= 2 * with_reasoning * SECONDS
    assert not [each for each in outcomes if each.status == 504]


@scripted_time
async def test_with_thousands_waiting_a_call_at_the_door_takes_no_look_at_each(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []

    def plan(needs: Sequence[Need], *given: Any) -> Plan:
        looked_at.append(len(needs))
        return Plan(needs, *given)

    monkeypatch.setattr(overload, "Plan", plan)
    monkeypatch.setattr(admission, "make_room", lambda *_: pytest.fail("there is room: nobody has to be looked for"))
    door = Offered(Machine(rate=steady(100.0)))
    calls = [asyncio.create_task(door.run([Offer(0.0, 1, 3000.0)])) for _ in range(4000)]
    await turns(20)
    assert door.window.calls == 4000
    assert sum(looked_at) <= 100 * 4000, "some thirty plans of them all, and not one for each"
    looked_at.clear()
    refused = await door.run([Offer(0.0, 30, 0.2) for _ in range(100)])
    assert [each.status for each in refused if each.offer.documents == 30] == [503] * 100
    assert sum(looked_at) <= 2 * 4000
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await turns(20)
    assert (door.window.running, door.window.queued, door.window.calls) == (0, 0, 0)
