"""The budget of a run, enforced call by call."""

from __future__ import annotations

import asyncio

from synth.errors import BudgetSpent


class Budget:
    """At most `limit` (None: no limit), of which `spent` is used, in the currency of the prices.

    A call reserves its highest cost before it begins and pays its actual cost at its end. The limit therefore holds as
    long as an endpoint respects `max_tokens` and prompts have no more tokens than `estimate_tokens` says.
    """

    def __init__(self, limit: float | None, spent: float) -> None:
        self._limit = limit
        self.spent = spent
        self._set_aside = 0.0
        self._calls = 0
        self._paid = asyncio.Event()

    async def set_aside(self, most: float) -> None:
        """Waits until `most` can be spent. Raises `BudgetSpent` when no call in flight could free enough."""
        while self._limit is not None and self.spent + self._set_aside + most > self._limit:
            if self._calls == 0:
                raise BudgetSpent(
                    f"The budget of {self._limit:g} does not allow another call ({self.spent:.4f} spent, {most:.4f} "
                    "needed at most); everything paid for is in the journal. Raise --budget and run again to go on."
                )
            self._paid.clear()
            await self._paid.wait()
        self._set_aside += most
        self._calls += 1

    def pay(self, most: float, cost: float) -> None:
        """Ends a call that reserved `most` and cost `cost`."""
        self._set_aside -= most
        self._calls -= 1
        if self._calls == 0:
            self._set_aside = 0.0  # removes rounding errors
        self.spent += cost
        self._paid.set()
