"""Turns shares into exact counts, dealt in a seeded order."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=str)


def counts(total: int, shares: Mapping[Name, float]) -> dict[Name, int]:
    """Splits `total` by `shares` (any positive scale) by largest remainder: the sum is exact, each count within 1."""
    whole = sum(shares.values())
    exact = {name: total * share / whole for name, share in shares.items()}
    rounded = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(shares, key=lambda name: (rounded[name] - exact[name], name))
    for name in by_remainder[: total - sum(rounded.values())]:
        rounded[name] += 1
    return rounded


def deal(total: int, shares: Mapping[Name, float], seed: str) -> Sequence[Name]:
    """`total` names in the proportions of `shares`, shuffled by `seed`; the same arguments give the same sequence."""
    names = [name for name, count in counts(total, shares).items() for _ in range(count)]
    random.Random(seed).shuffle(names)  # noqa: S311 - a draw, not a secret
    return names


class Rounds(Generic[Name]):
    """Draws several different names at a time so that each name's count follows its share after every draw."""

    def __init__(self, shares: Mapping[Name, float]) -> None:
        whole = sum(shares.values())
        self._due: dict[Name, float] = dict.fromkeys(shares, 0.0)
        self._shares = {name: share / whole for name, share in shares.items() if share > 0}

    def draw(self, count: int) -> list[Name]:
        """The `count` names furthest behind their share; fewer if there are fewer names."""
        for name, share in self._shares.items():
            self._due[name] += share * count
        drawn = sorted(self._shares, key=lambda name: (-self._due[name], name))[:count]
        for name in drawn:
            self._due[name] -= 1
        return drawn
