"""Which documents can still change the top, and which of them goes first. One function for each policy."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from contract.adaptive.beliefs import Belief, chances, swaps
from contract.adaptive.parameters import Policy


def order(policy: Policy, beliefs: Sequence[Belief], free: Sequence[int], count: int, tolerance: float) -> list[int]:
    """Of `free`, the documents that may be worth their cost, the best first; ties by index.

    `beliefs` are of all documents. `count`: how many of the best are wanted. With a tolerance of 0 all of `free` are
    in the result, whatever the policy.
    """
    among = chances(beliefs, count)
    matter = [index for index in free if _matters(policy, among[index], tolerance)]
    worth = _worth(policy, beliefs, among, matter, count)
    return sorted(matter, key=lambda index: (-worth[index], index))


def undecided(beliefs: Sequence[Belief], count: int, tolerance: float) -> list[int]:
    """The documents of which it is not clear whether they are among the best `count`."""
    return [i for i, chance in enumerate(chances(beliefs, count)) if tolerance < chance < 1 - tolerance]


def _matters(policy: Policy, chance: float, tolerance: float) -> bool:
    if policy in (Policy.RANDOM, Policy.UNSURE):  # which look at no border
        return True
    if policy is Policy.BORDER:
        return tolerance <= chance <= 1 - tolerance
    return chance >= tolerance  # what is surely in the top may still move within it


def _worth(
    policy: Policy, beliefs: Sequence[Belief], among: Sequence[float], matter: Sequence[int], count: int
) -> dict[int, float]:
    if policy is Policy.TOP:
        return {index: beliefs[index].mean for index in matter}
    if policy is Policy.RANDOM:
        return {index: _drawn(index, len(beliefs)) for index in matter}
    if policy is Policy.UNSURE:
        return {index: -abs(beliefs[index].mean) for index in matter}
    at_border = {index: among[index] * (1 - among[index]) for index in matter}
    if policy is Policy.BORDER:
        return at_border
    within = _within_the_top(beliefs, matter, count)
    return {index: at_border[index] + within[index] for index in matter}


def _drawn(index: int, documents: int) -> float:
    """A number in [0, 1) that is the same whenever the same call is made."""
    digest = hashlib.sha256(f"{documents} {index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _within_the_top(beliefs: Sequence[Belief], matter: Sequence[int], count: int) -> dict[int, float]:
    """What swaps with others of the top would change of nDCG: for each pair the probability of a swap, times the
    difference of the discounts, times that of the probabilities of relevance."""
    ranked = sorted(range(len(beliefs)), key=lambda index: (-beliefs[index].mean, index))
    top = {index: rank for rank, index in enumerate(ranked[:count])}
    discount = {index: 1 / math.log2(2 + rank) for index, rank in top.items()}
    relevance = {index: _logistic(beliefs[index].mean) for index in top}
    return {
        index: math.fsum(
            swaps(beliefs[index], beliefs[other])
            * abs(discount[index] - discount[other])
            * abs(relevance[index] - relevance[other])
            for other in top
        )
        if index in top
        else 0.0
        for index in matter
    }


def _logistic(odds: float) -> float:
    return 0.5 * (1 + math.tanh(0.5 * odds))
