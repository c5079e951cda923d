"""Seeded choices: the same id always draws the same wording, whatever else the data contains."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


def draw(*key: str) -> float:
    """A number in [0, 1) that depends only on `key`."""
    hashed = blake2b("\x1f".join(key).encode(), digest_size=8).digest()
    return int.from_bytes(hashed, "big") / 2**64


def choose(options: Sequence[T], *key: str) -> T:
    """One of `options`, determined by `key`."""
    return options[int(draw(*key) * len(options))]
