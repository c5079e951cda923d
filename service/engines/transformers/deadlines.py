"""What must be given up now so that a call is answered by its deadline. Instants are those of `time.monotonic()`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from service.engines.causal.requests import Request
from service.engines.transformers.decoder import Generation


def generations_to_end(generations: Iterable[Generation], until: float) -> list[Generation]:
    """Those that still write and are due by `until`, the instant at which one ended now would have its answers."""
    return [g for g in generations if not g.ending and g.request.deadline is not None and g.request.deadline <= until]


def requests_to_hurry(
    requests: Iterable[Request], now: float, token_seconds: float, missing: Callable[[tuple[int, ...]], int]
) -> list[Request]:
    """Requests whose reasoning has not begun and must not begin: all of them whose deadline the model, at
    `token_seconds` per token, would just meet with direct answers for these and for those that are due before.
    `missing` says how many tokens of a prefix are still to be computed, once for all its requests."""
    timed = [(r.deadline, r) for r in requests if r.deadline is not None and r.budget]
    timed.sort(key=lambda pair: pair[0])
    late_until, ready = float("-inf"), now
    prefixes: set[tuple[int, ...]] = set()
    for deadline, request in timed:
        tokens = request.left
        if request.prefix not in prefixes:
            prefixes.add(request.prefix)
            tokens += missing(request.prefix)
        ready += token_seconds * tokens
        if ready >= deadline:
            late_until = deadline
    return [request for deadline, request in timed if deadline <= late_until]
