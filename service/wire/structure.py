"""The structure of a JSON text, found without making its values: how deep it nests, and how many items its list has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_BLOCK = 1 << 18
_COUNTED = 1 << 20
_QUOTE, _COMMA = ord('"'), ord(",")
_STEPS = np.zeros(256, np.int8)  # what each byte outside strings adds to the depth
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1
_SPACE = b" \t\n\r"
# Bytes of an object in memory by the byte that announces one, rounded up: {"a": 1} takes 232 with its value.
_WEIGHTS = {b"{": 232, b"[": 88, b":": 104, b",": 72}
_LIGHT_BYTES = 8 << 20  # of values that may be made on the event loop
_LIGHT_TIMES = 2  # or so many times the text


@dataclass(frozen=True, slots=True)
class Structure:
    """`depth`: the deepest level, 1 inside one list or object. `commas`: those at level 1."""

    depth: int
    commas: int


def weight_of(content: bytes) -> int:
    """The most bytes of memory that the values of a JSON text can take beside its strings' characters.

    Brackets and commas in strings are counted too. 16 MiB take 20 to 60 ms of one core, in pieces between which other
    threads run.
    """
    return sum(
        weight * content.count(sign, begin, begin + _COUNTED)
        for begin in range(0, len(content), _COUNTED)
        for sign, weight in _WEIGHTS.items()
    )


def is_heavy(content: bytes) -> bool:
    """Whether the values of a text would take far more memory than the text."""
    return weight_of(content) > max(_LIGHT_BYTES, _LIGHT_TIMES * len(content))


def structure_of(content: bytes) -> Structure:
    """Reads a text in blocks of 256 KiB, during which other threads run. What it says of a text that is no JSON is
    of no meaning."""
    if b"\\" in content:  # escaped quotes end no string; of a pair of backslashes none escapes what follows
        content = content.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    level = deepest = commas = 0
    inside = False
    for begin in range(0, len(content), _BLOCK):
        block = np.frombuffer(content, np.uint8, min(_BLOCK, len(content) - begin), begin)
        within = _inside_strings(block, inside)
        steps = _STEPS[block]
        steps[within] = 0
        depths: npt.NDArray[np.int32] = np.cumsum(steps, dtype=np.int32)
        depths += level
        commas += int(np.count_nonzero((block == _COMMA) & ~within & (depths == 1)))
        deepest, level, inside = max(deepest, int(depths.max())), int(depths[-1]), bool(within[-1])
    return Structure(deepest, commas)


def items_of(content: bytes) -> int:
    """How many items a list has."""
    commas = structure_of(content).commas
    return commas + 1 if commas or content.strip(_SPACE)[1:-1].strip(_SPACE) else 0


def _inside_strings(block: npt.NDArray[Any], inside: bool) -> npt.NDArray[np.bool_]:
    """True from each quote that opens a string up to the one that closes it, which counts as outside."""
    quotes = np.cumsum(block == _QUOTE, dtype=np.uint8)  # it wraps around: only odd and even matter
    quotes += inside
    return (quotes & 1).astype(np.bool_)
