"""Whether a request asks for a streamed answer: by its `Accept` header, or by `stream` in its body."""

from __future__ import annotations

from collections.abc import Sequence

from service.api.streams.framing import FRAMINGS, SSE, Framing
from service.http.accept import Accepted, accepted, weight_of

_JSON = "application/json"


def framing_asked(accept: str, stream: bool | None) -> Framing | None:
    """Returns how the answer is to be framed; None for the ordinary one. `accept` is "" where the header is absent.

    `Accept` counts only where JSON is not accepted as well; `stream` decides where it is there.
    """
    if stream is None and not accept:
        return None
    ranges = list(accepted(accept))
    if stream is False or (stream is None and (not ranges or weight_of(_JSON, ranges) > 0)):
        return None
    return _preferred(ranges) or (SSE if stream else None)


def _preferred(ranges: Sequence[Accepted]) -> Framing | None:
    """The framing that is named with the largest weight; of equals the first."""
    by_type = {framing.media_type: framing for framing in FRAMINGS}
    named = [(each.q, by_type[each.range]) for each in ranges if each.q and each.range in by_type]
    return max(named, key=lambda pair: pair[0])[1] if named else None
