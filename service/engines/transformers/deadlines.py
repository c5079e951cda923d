"""What must be given up now so that a call is answered by its deadline. Instants are those of `time.monotonic()`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from service.engines.causal.sequences import Document
from service.engines.transformers.decoder import Trace


def traces_to_close(traces: Iterable[Trace], until: float) -> list[Trace]:
    """Open traces that are due by `until`, the instant at which one closed now would have its verdict."""
    return [t for t in traces if not t.closing and t.document.deadline is not None and t.document.deadline <= until]


def documents_to_hurry(
    documents: Iterable[Document], now: float, token_seconds: float, missing: Callable[[tuple[int, ...]], int]
) -> list[Document]:
    """Documents whose trace has not begun and must not begin: all of them whose deadline the model, at `token_seconds`
    per token, would just meet with direct verdicts for these and for those that are due before. `missing` says how many
    tokens of a prefix are still to be computed, once for all its documents."""
    timed = [(d.deadline, d) for d in documents if d.deadline is not None and d.budget]
    timed.sort(key=lambda pair: pair[0])
    late_until, ready = float("-inf"), now
    prefixes: set[tuple[int, ...]] = set()
    for deadline, document in timed:
        tokens = document.left
        if document.prefix not in prefixes:
            prefixes.add(document.prefix)
            tokens += missing(document.prefix)
        ready += token_seconds * tokens
        if ready >= deadline:
            late_until = deadline
    return [document for deadline, document in timed if deadline <= late_until]
