"""How a trace ended, and when its end is a loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.engine import Status

_LONGEST_PERIOD = 64
_LOOP_TOKENS = 48  # so many tokens that repeat those one period earlier are a loop ...
_LOOP_COPIES = 3  # ... if the period comes back at least so many times


@dataclass(frozen=True, slots=True)
class Reading:
    """A trace as its verdict reports it. `text` is None in direct mode."""

    status: Status
    text: str | None
    tokens: int


def loops(written: Sequence[int]) -> bool:
    """True when the end of `written` is one piece over and over: of up to 64 tokens, through at least 48."""
    return any(_repeated(written, period) for period in range(1, _LONGEST_PERIOD + 1))


def _repeated(written: Sequence[int], period: int) -> bool:
    needed = max(_LOOP_TOKENS, _LOOP_COPIES * period)
    if len(written) < needed + period:
        return False
    return all(written[-at] == written[-at - period] for at in range(1, needed + 1))
