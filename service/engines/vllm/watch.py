"""Notices an engine that holds work and makes no progress: its process lives, so nothing else would tell."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry

# What moves while vLLM computes: tokens in and out, and the share of its memory that is filled.
_MOVING = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:kv_cache_usage_perc")


def vllm_progress(registry: CollectorRegistry) -> tuple[float, ...]:
    """A value that changes whenever vLLM's engine has done a step that computed something."""
    families = registry.restricted_registry(_MOVING).collect()
    return tuple(sample.value for family in families for sample in family.samples)


class ProgressWatch:
    """`progress` returns anything that changes with progress; it is asked at every look."""

    def __init__(
        self, stuck_after: float, progress: Callable[[], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stuck_after = stuck_after
        self._progress = progress
        self._clock = clock
        self._last: object = None
        self._moved = clock()

    def fault(self, unfinished: int) -> str | None:
        """A sentence when `unfinished` requests have not moved for as long as it takes to call the engine stuck."""
        now, progress = self._clock(), self._progress()
        if not unfinished or progress != self._last:
            self._last, self._moved = progress, now
            return None
        if now - self._moved < self._stuck_after:
            return None
        return f"vLLM holds {unfinished} requests and has computed nothing for {now - self._moved:.0f} s."
