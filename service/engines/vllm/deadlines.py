"""Decides which reasoning to end so that requests in vLLM meet their deadlines. Instants are monotonic seconds."""

from __future__ import annotations

from collections.abc import Iterable

from service.engines.vllm.requests import RunningRequest


def due(
    running: Iterable[RunningRequest], ready: float, token_seconds: float, answer_tokens: int
) -> list[RunningRequest]:
    """Requests whose reasoning must end now, or must not begin: vLLM, at `token_seconds` per token from `ready` on,
    would just answer all of them in time.

    They are in the order of their deadlines. One that has begun costs `answer_tokens`, another its prompt as well;
    answer requests in flight are computed before them.
    """
    running = list(running)
    timed = [(each.request.deadline, each) for each in running if each.writing and each.request.deadline is not None]
    timed.sort(key=lambda pair: pair[0])
    ready += token_seconds * sum(each.uncomputed or answer_tokens for each in running if each.answering)
    late_until = float("-inf")
    for deadline, each in timed:
        ready += token_seconds * (each.uncomputed + answer_tokens)
        if ready >= deadline:
            late_until = deadline
    return [each for deadline, each in timed if deadline <= late_until]
