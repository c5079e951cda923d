"""A call as it is scheduled: documents in ids, and what each is worth in tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from service.engine import Completion, PartialOutput, Prefix, Prompt, Rest, Scoring


class Progress(Protocol):
    """Is told of a call's prompts as they are worked on, by their place in the call. Must be quick, and not raise."""

    @property
    def reasoning(self) -> bool:
        """Whether pieces of reasoning are wanted."""
        ...

    def wrote(self, piece: PartialOutput) -> None:
        """A piece of reasoning was written."""

    def again(self, index: int) -> None:
        """The engine failed on a prompt and is asked once more: its reasoning begins again."""

    def scored(self, completion: Completion) -> None:
        """A prompt got its answers."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """What is known of a call before its text is encoded. `least_tokens`: as many as it has at least, from its bytes;
    `deadline` is a monotonic instant; `key` names the caller."""

    call: str
    documents: int
    least_tokens: int
    scoring: Scoring
    priority: int
    deadline: float
    key: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """A call in ids: one rest for each document. `budget`: the most reasoning tokens for each; `key` names the
    caller. `progress` is told what comes of it. `direct`: rests that are scored directly whatever the budget is."""

    call: str
    prefix: Prefix
    rests: Sequence[Rest]
    answers: tuple[int, ...]
    scoring: Scoring
    budget: int
    priority: int
    deadline: float
    key: str = ""
    progress: Progress | None = None
    direct: frozenset[int] = frozenset()

    @property
    def tokens(self) -> int:
        """All that it may take: prompts, the shared prefix once, and reasoning."""
        return len(self.prefix.ids) + sum(self.costs)

    @property
    def costs(self) -> list[int]:
        """What each document may take besides the prefix."""
        costs = [len(rest.ids) + self.budget for rest in self.rests]
        for index in self.direct:
            costs[index] -= self.budget
        return costs

    def prompt(self, index: int, deadline: float, arrived: float) -> Prompt:
        return Prompt(
            call=self.call,
            prefix=self.prefix.ids,
            rest=self.rests[index].ids,
            answers=self.answers,
            budget=0 if index in self.direct else self.budget,
            second=self.prefix.second,
            priority=self.priority,
            deadline=deadline,
            arrived=arrived,
            stream=self.progress is not None and self.progress.reasoning and index not in self.direct,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """Completions in the order of the documents, and when (monotonic seconds) the first of them entered the engine."""

    completions: Sequence[Completion]
    begun: float
