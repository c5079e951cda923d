"""The order in which examples are trained, fixed before the first step.

All passes over the data form one list, which the loop reads from front to back. A resumed run therefore sees the same
examples as an uninterrupted one, on one device or several, whatever the state of random generators.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

_SPREAD = 16  # batches whose examples are sorted by length together


def order(lengths: Sequence[int], *, passes: float, batch: int, seed: int, max_steps: int | None = None) -> list[int]:
    """Indices of the examples in training order: `passes` over all, or exactly `max_steps` steps of `batch` examples.
    Nothing is left over after the last step, and every pass has its own order.

    Within a pass the examples of a few batches are sorted by `lengths` (in tokens), so that a batch has examples of
    similar length and little padding; the batches themselves are in random order.
    """
    wanted = max(1, round(passes * len(lengths))) if max_steps is None else max_steps * batch
    laid: list[int] = []
    number = 0
    while len(laid) < wanted:
        laid += _one_pass(lengths, batch, random.Random(f"{seed}/{number}"))  # noqa: S311 - an order, not a secret
        number += 1
    return laid[:wanted]


def _one_pass(lengths: Sequence[int], batch: int, generator: random.Random) -> list[int]:
    shuffled = list(range(len(lengths)))
    generator.shuffle(shuffled)
    batches: list[list[int]] = []
    for start in range(0, len(shuffled), batch * _SPREAD):
        stretch = sorted(shuffled[start : start + batch * _SPREAD], key=lambda index: (lengths[index], index))
        batches += [stretch[at : at + batch] for at in range(0, len(stretch), batch)]
    short = [indices for indices in batches if len(indices) < batch]
    full = [indices for indices in batches if len(indices) == batch]
    generator.shuffle(full)
    return [index for indices in (*full, *short) for index in indices]
