"""An agent that searches ten ways at once, then thinks for some seconds."""

# mypy: disable-error-code="misc, untyped-decorator"
from __future__ import annotations

from gevent.pool import Pool
from locust import between, task

from loadtests.callers import Caller

_AT_ONCE = 10


class BurstUser(Caller):
    """Ten calls of ten passages in the same moment."""

    scenario = "bursts"
    concurrency = _AT_ONCE
    wait_time = between(4.0, 8.0)

    @task
    def burst(self) -> None:
        pool = Pool(_AT_ONCE)
        for _ in range(_AT_ONCE):
            pool.spawn(self.rerank, self.texts.body(self.passages(10, 10)))
        pool.join()
