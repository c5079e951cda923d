"""A nightly job that scores a thousand passages a call, one call after the other."""

# mypy: disable-error-code="misc, untyped-decorator"
from __future__ import annotations

from locust import constant, task

from loadtests.callers import Caller


class BatchUser(Caller):
    """A thousand passages a call (`--batch-passages`), without a pause."""

    scenario = "batch"
    wait_time = constant(0)

    @task
    def score_all(self) -> None:
        self.rerank(self.texts.body(self.settings.batch_passages))
