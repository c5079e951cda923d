"""Calls with less time than they need, on a real engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.processes import ServerProcess
from tests.waiting import PATIENCE

_UNAVAILABLE = 503
_OF_CONTROL = 10  # what a call may take behind its deadline, in times of the control


def cut_short(
    running: ServerProcess, body: dict[str, Any], control: Callable[[], object], share: float
) -> list[dict[str, Any]]:
    """The results of a call that is due in `share` times what `control`, some of the same work, took right before.

    The server refuses a call that it could not even score directly in time. On a machine that stood still for a moment
    that may be this one: then both are done again. Asserts that the answer came near the deadline, against the control
    before or behind it, whichever took longer.
    """
    until = time.monotonic() + PATIENCE
    while True:
        before = _seconds(control)
        begun = time.monotonic()
        deadline = share * before
        answer = running.rerank(body, headers={"X-Request-Timeout-Ms": f"{1000 * deadline:.0f}"})
        took = time.monotonic() - begun
        if answer.status_code != _UNAVAILABLE or time.monotonic() > until:
            break
    assert answer.status_code == 200, answer.text
    assert took < deadline + _OF_CONTROL * max(before, _seconds(control))
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def _seconds(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun
