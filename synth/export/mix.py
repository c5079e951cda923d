"""Draws a number of rows from each source by a seed and interleaves them evenly: with 14,000 rows of one source and
6,000 of another, every stretch of the file holds about seven of the first for three of the second."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from synth.errors import BadSettings
from synth.scratch import digest

T = TypeVar("T")

Rows = Callable[[], Iterable[T]]
"""Rows that can be iterated repeatedly: the draw counts them first, then takes some."""


def drawn(rows: Rows[T], key: Callable[[T], str], count: int | None, seed: int, name: str) -> tuple[int, Iterator[T]]:
    """The number of rows drawn, and those rows in order: `count` of them, or all when it is None.

    The choice depends only on `seed` and on each row's key. Memory holds 8 bytes per row. Raises `BadSettings` when
    there are fewer than `count` rows.
    """
    numbers = array("Q", (_number(key(row), seed) for row in rows()))
    if count is None or count == len(numbers):
        return len(numbers), iter(rows())
    if count > len(numbers):
        raise BadSettings(f"{name} has {len(numbers)} rows to give, and {count} were asked for; ask for fewer.")
    last = int(np.partition(np.frombuffer(numbers, dtype=np.uint64), count - 1)[count - 1])
    return count, (row for row in rows() if _number(key(row), seed) <= last)


def in_turn(parts: Sequence[tuple[int, Iterator[T]]]) -> Iterator[T]:
    """All rows of all parts, each part in order. The next row always comes from the part furthest behind its share."""
    taken = [0] * len(parts)
    waiting = [number for number, (total, _) in enumerate(parts) if total > 0]
    while waiting:
        number = min(waiting, key=lambda part: ((taken[part] + 1) / parts[part][0], part))
        yield next(parts[number][1])
        taken[number] += 1
        if taken[number] == parts[number][0]:
            waiting.remove(number)


def _number(key: str, seed: int) -> int:
    return int.from_bytes(digest(str(seed), key)[:8], "big")
