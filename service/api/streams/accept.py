"""Whether a request asks for a streamed answer: by its `Accept` header, or by `stream` in its body."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.api.streams.framing import FRAMINGS, SSE, Framing

_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Accepted:
    """One media range of an `Accept` header, in lower case, with its weight."""

    range: str
    q: float


def framing_asked(accept: str, stream: bool | None) -> Framing | None:
    """Returns how the answer is to be framed; None for the ordinary one. `accept` is "" where the header is absent.

    `Accept` counts only where JSON is not accepted as well; `stream` decides where it is there.
    """
    if stream is None and not accept:
        return None
    ranges = list(_ranges(accept))
    if stream is False or (stream is None and (not ranges or _weight(_JSON, ranges) > 0)):
        return None
    return _preferred(ranges) or (SSE if stream else None)


def _preferred(ranges: list[Accepted]) -> Framing | None:
    """The framing that is named with the largest weight; of equals the first."""
    by_type = {framing.media_type: framing for framing in FRAMINGS}
    named = [(each.q, by_type[each.range]) for each in ranges if each.q and each.range in by_type]
    return max(named, key=lambda pair: pair[0])[1] if named else None


def _weight(media_type: str, ranges: list[Accepted]) -> float:
    """That of the most specific range which holds the type (RFC 9110, 12.5.1); 0 where none does."""
    for wanted in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        weights = [each.q for each in ranges if each.range == wanted]
        if weights:
            return max(weights)
    return 0.0


def _ranges(accept: str) -> Iterator[Accepted]:
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if media_range:
            weights = [piece[2:].strip() for piece in parameters if piece.startswith("q=")]
            yield Accepted(media_range, _number(weights[0]) if weights else 1.0)


def _number(weight: str) -> float:
    """A weight in [0, 1]; what is none counts as 1, as if it had been left out."""
    try:
        number = float(weight)
    except ValueError:
        return 1.0
    return number if 0 <= number <= 1 else 1.0
