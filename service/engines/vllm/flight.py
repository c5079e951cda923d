"""A document in vLLM: what it may still cost, and why its trace must end."""

from __future__ import annotations

from dataclasses import dataclass

from service.engine import Status
from service.engines.causal.sequences import Document

# The engine's priorities: a verdict step goes before documents of the same class, and those before the next class.
_PRIORITIES_PER_CLASS = 10


@dataclass(eq=False, slots=True)
class Flight:
    """`cost`: prompt tokens that it may still have to compute, which hold up further documents until they are.

    `begun`: the first token of its trace is there. `closed_because`: why its trace is ended from outside.
    `short`: the tokens of its verdict request while that is under way. `given_up`: nobody waits for it any more.
    """

    document: Document
    name: str
    cost: int
    rank: int | None
    begun: bool = False
    closed_because: Status | None = None
    short: int = 0
    given_up: bool = False

    @property
    def writing(self) -> bool:
        """True while its trace may still be ended from outside."""
        return bool(self.document.budget) and not self.short and self.closed_because is None and not self.given_up

    @property
    def trace_name(self) -> str:
        return f"{self.name}-trace"

    @property
    def verdict_name(self) -> str:
        return f"{self.name}-verdict"

    @property
    def document_priority(self) -> int:
        return _PRIORITIES_PER_CLASS * self.document.priority

    @property
    def verdict_priority(self) -> int:
        return self.document_priority - 1
