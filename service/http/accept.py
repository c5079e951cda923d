"""The `Accept` header: its media ranges, and how much a type weighs by them (RFC 9110, 12.5.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """One media range of an `Accept` header, in lower case, with its weight."""

    range: str
    q: float


def accepted(accept: str) -> Iterator[Accepted]:
    """The ranges of a header in their order; none where it is empty."""
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if media_range:
            weights = [
                value.strip()
                for name, _, value in (piece.partition("=") for piece in parameters)
                if name.strip() == "q"
            ]
            yield Accepted(media_range, _number(weights[0]) if weights else 1.0)


def weight_of(media_type: str, ranges: Sequence[Accepted]) -> float:
    """That of the most specific range which holds the type; 0 where none does."""
    for wanted in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        weights = [each.q for each in ranges if each.range == wanted]
        if weights:
            return max(weights)
    return 0.0


def _number(weight: str) -> float:
    """A weight in [0, 1]; what is none counts as 1, as if it had been left out."""
    try:
        number = float(weight)
    except ValueError:
        return 1.0
    return number if 0 <= number <= 1 else 1.0
