"""Decides which reasoning to end or skip so that a call meets its deadline. Instants are those of
`time.monotonic()`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from service.engines.causal.requests import Request
from service.engines.transformers.decoder import Generation


def generations_to_end(generations: Iterable[Generation], until: float) -> list[Generation]:
    """Those still generating whose deadline is before `until`, the instant at which one ended now would have its
    answers."""
    return [g for g in generations if not g.ending and g.request.deadline is not None and g.request.deadline <= until]


def requests_to_hurry(
    requests: Iterable[Request], now: float, token_seconds: float, missing: Callable[[tuple[int, ...]], int]
) -> list[Request]:
    """Requests whose reasoning has not begun and must not begin. The model, at `token_seconds` per token, would just
    meet their deadlines with direct answers for them and for those that are due earlier. `missing` returns how many
    tokens of a prefix are still to be computed, which happens once for all its requests."""
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
