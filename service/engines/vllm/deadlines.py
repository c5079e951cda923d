"""What must be given up now so that calls in vLLM are answered by their deadlines. Instants are monotonic seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from service.engines.causal.sequences import Document
from service.engines.vllm.flight import Flight


@dataclass(frozen=True, slots=True)
class Due:
    """Traces to end now, and documents whose trace must not begin any more."""

    flights: list[Flight]
    documents: list[Document]


def due(
    flights: Iterable[Flight], waiting: Iterable[Document], ready: float, token_seconds: float, verdict_tokens: int
) -> Due:
    """All that vLLM, at `token_seconds` per token from `ready` on, would just answer in time if it were ended now.

    In the order of the deadlines: a trace that has begun costs `verdict_tokens`, another its prompt as well; verdict
    requests that are under way are computed before them.
    """
    flights = list(flights)
    timed: list[tuple[float, int, Flight | Document]] = []
    for flight in flights:
        if flight.writing and flight.document.deadline is not None:
            timed.append((flight.document.deadline, flight.cost + verdict_tokens, flight))
    for document in waiting:
        if document.budget and document.deadline is not None:
            timed.append((document.deadline, document.left + verdict_tokens, document))
    timed.sort(key=lambda each: each[0])
    ready += token_seconds * sum(f.cost or verdict_tokens for f in flights if f.short)
    late_until = float("-inf")
    for deadline, tokens, _ in timed:
        ready += token_seconds * tokens
        if ready >= deadline:
            late_until = deadline
    late = [each for deadline, _, each in timed if deadline <= late_until]
    return Due(
        [each for each in late if isinstance(each, Flight)],
        [each for each in late if isinstance(each, Document)],
    )
