"""Retrieval-augmented generation: a person waits for a call of 10 to 50 passages, reads, and asks again."""

# mypy: disable-error-code="misc, untyped-decorator"
from __future__ import annotations

from locust import between, task

from loadtests.callers import Caller


class RagUser(Caller):
    """Ten to fifty passages, then a second or two of thought."""

    scenario = "rag"
    wait_time = between(0.5, 2.0)

    @task
    def ask(self) -> None:
        self.rerank(self.texts.body(self.passages(10, 50)))
