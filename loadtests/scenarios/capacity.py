"""A cell of the capacity table: callers that never pause, each call with the same number of passages."""

# mypy: disable-error-code="misc, untyped-decorator"
from __future__ import annotations

from locust import constant, task

from loadtests.callers import Caller


class CapacityUser(Caller):
    """One call after the other."""

    scenario = "capacity"
    wait_time = constant(0)

    @task
    def ask(self) -> None:
        self.rerank(self.texts.body(self.passages(10, 10)))
