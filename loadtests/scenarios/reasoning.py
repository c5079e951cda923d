"""Callers that want the model's trace: few passages, and much more work for each."""

# mypy: disable-error-code="misc, untyped-decorator"
from __future__ import annotations

from locust import between, task

from loadtests.callers import Caller

_TRACE_TOKENS = 32


class ReasoningUser(Caller):
    """Two to five passages in reasoning mode, with short traces."""

    scenario = "reasoning"
    wait_time = between(1.0, 3.0)

    @task
    def reason(self) -> None:
        fields = {"mode": "reasoning", "max_reasoning_tokens": _TRACE_TOKENS, "return_reasoning": True}
        self.rerank(self.texts.body(self.passages(2, 5), **fields))
