"""The pace of an endpoint, in scripted time: how much of it is used in any minute, and how long that takes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from llm.rate_limit import Pace
from tests.scripted_time import now, scripted_time

PER_MINUTE = 1200


async def taken(pace: Pace, units: Sequence[float]) -> list[float]:
    """The instants at which takings of so many units were let through."""

    async def take(amount: float) -> float:
        await pace.take(amount)
        return now()

    return list(await asyncio.gather(*(take(amount) for amount in units)))


@scripted_time
async def test_no_minute_has_more_than_its_limit_and_none_much_less() -> None:
    at = await taken(Pace(PER_MINUTE, now), [1] * 3 * PER_MINUTE)
    for begin in range(1000, 1120, 7):
        within = sum(1 for instant in at if begin <= instant < begin + 60)
        assert 0.95 * PER_MINUTE < within <= PER_MINUTE


@scripted_time
async def test_a_burst_is_a_second_s_worth_and_comes_again_after_a_pause() -> None:
    pace = Pace(PER_MINUTE, now)
    for _ in range(2):
        begun = now()
        at = await taken(pace, [1] * 30)
        assert sum(1 for instant in at if instant == begun) == PER_MINUTE // 61
        assert at == sorted(at)
        assert at[-1] - begun == pytest.approx((30 - PER_MINUTE / 61) / (PER_MINUTE / 61))
        await asyncio.sleep(5)


@scripted_time
async def test_what_is_larger_than_a_burst_is_paid_for_by_those_behind_it() -> None:
    pace = Pace(6100, now)  # a hundred a second
    begun = now()
    assert await taken(pace, [500, 100]) == [begun, pytest.approx(begun + 5)]


@scripted_time
async def test_what_was_not_used_is_given_back() -> None:
    pace = Pace(6100, now)
    begun = now()
    await pace.take(100)
    pace.correct(-50)
    assert await taken(pace, [50, 1]) == [begun, pytest.approx(begun + 0.01)]
