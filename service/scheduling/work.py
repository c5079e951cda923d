"""A call as it is scheduled: documents in ids, and what each is worth in tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    `deadline` is a monotonic instant; `key` names the caller; `budget`: the most reasoning tokens for each document."""

    call: str
    documents: int
    least_tokens: int
    scoring: Scoring
    priority: int
    deadline: float
    key: str = ""
    budget: int = 0


@dataclass(frozen=True, slots=True)
class Going:
    """How the reasoning of one document goes on: behind what was `written`, by at most `budget` tokens.

    `prefix`: all ids of its prompt but the last, one object for all its pieces, where an engine should keep what it
    computes of them for the next piece; None: the prefix of the call.
    """

    written: Sequence[int]
    budget: int
    prefix: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """A call in ids: one rest for each document. `budget`: the most reasoning tokens for each; `key` names the
    caller. `progress` is told what comes of it. `direct`: rests that are scored directly whatever the budget is.
    `going`: how the reasoning of each document goes on, where it is written piece by piece. `read`: the rests that each
    document is read in; None: it is one each."""

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
    going: Sequence[Going] = ()
    read: Sequence[Sequence[int]] | None = None

    @property
    def tokens(self) -> int:
        """All that it may take: prompts, the shared prefix once, and reasoning."""
        return len(self.prefix.ids) + sum(self.costs)

    @property
    def costs(self) -> list[int]:
        """What each document may take besides the prefix."""
        if self.going:
            return [tokens + going.budget for tokens, going in zip(self.lengths, self.going, strict=True)]
        costs = [len(rest.ids) + self.budget for rest in self.rests]
        for index in self.direct:
            costs[index] -= self.budget
        return costs

    @property
    def lengths(self) -> list[int]:
        """Tokens of each document's prompt besides the prefix."""
        if self.going:
            return [len(rest.ids) + len(going.written) for rest, going in zip(self.rests, self.going, strict=True)]
        return [len(rest.ids) for rest in self.rests]

    @property
    def order(self) -> Sequence[int] | None:
        """The order in which documents are handed out; None: the shortest first."""
        return None

    @property
    def whole(self) -> bool:
        """Whether the call fails with one of its documents."""
        return True

    def part(self, index: int) -> int:
        """Documents of one part share a prefix, and are handed to the engine together."""
        return 0

    def prompt(self, index: int, deadline: float, arrived: float, *, first: bool = False) -> Prompt:
        prompt = Prompt(
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
            first=first,
        )
        if not self.going:
            return prompt
        going = self.going[index]
        prompt = replace(prompt, budget=going.budget, written=going.written)
        return prompt if going.prefix is None else replace(prompt, prefix=going.prefix, rest=prompt.rest[-1:])


@dataclass(frozen=True, slots=True)
class Answer:
    """Completions in the order of the documents, and when (monotonic seconds) the first of them entered the engine.

    One without answers stands for a document that the engine failed on, where the call goes on without it.
    """

    completions: Sequence[Completion]
    begun: float


@dataclass(frozen=True, slots=True)
class BatchWork(Work):
    """Several requests that are scheduled as one call. Its own `prefix` is empty, its `budget` the mean of all.

    `parts` tells for each document which of `prefixes` it stands behind, `budgets` the most reasoning tokens for it.
    Parts are handed out one after another, so that an engine computes each prefix once; the first document of a part is
    charged for its prefix. Make one with `batch_work`.
    """

    prefixes: Sequence[Prefix] = ()
    parts: Sequence[int] = ()
    budgets: Sequence[int] = ()
    places: Sequence[int] = ()

    @property
    def costs(self) -> list[int]:
        return [length + budget for length, budget in zip(self.lengths, self.budgets, strict=True)]

    @property
    def lengths(self) -> list[int]:
        made = [len(rest.ids) for rest in self.rests]
        begun: set[int] = set()
        for index in self.places:
            if (part := self.parts[index]) not in begun:
                begun.add(part)
                made[index] += len(self.prefixes[part].ids)
        return made

    @property
    def order(self) -> Sequence[int]:
        return self.places

    @property
    def whole(self) -> bool:
        return False

    def part(self, index: int) -> int:
        return self.parts[index]

    def prompt(self, index: int, deadline: float, arrived: float, *, first: bool = False) -> Prompt:
        part = self.parts[index]
        prefix = self.prefixes[part]
        return replace(
            Work.prompt(self, index, deadline, arrived, first=first),
            call=f"{self.call}.{part}",
            prefix=prefix.ids,
            second=prefix.second,
            budget=self.budgets[index],
        )


@dataclass(frozen=True, slots=True)
class Share:
    """What one request adds to a batch: its ids, and the most reasoning tokens for each of its documents. `direct`: the
    rests that are scored directly whatever the budget is."""

    prefix: Prefix
    rests: Sequence[Rest]
    budget: int
    direct: frozenset[int] = frozenset()


def batch_work(shares: Sequence[Share], incoming: Incoming, answers: tuple[int, ...]) -> BatchWork:
    """Returns the requests `shares` as one call. Those whose prefixes are the same become one part."""
    prefixes: list[Prefix] = []
    known: dict[tuple[tuple[int, ...], int | None], int] = {}
    rests: list[Rest] = []
    parts: list[int] = []
    budgets: list[int] = []
    for share in shares:
        part = known.setdefault((tuple(share.prefix.ids), share.prefix.second), len(prefixes))
        if part == len(prefixes):
            prefixes.append(share.prefix)
        rests += share.rests
        parts += [part] * len(share.rests)
        budgets += [0 if index in share.direct else share.budget for index in range(len(share.rests))]
    return BatchWork(
        call=incoming.call,
        prefix=Prefix((), 0),
        rests=rests,
        answers=answers,
        scoring=incoming.scoring,
        budget=sum(budgets) // max(1, len(budgets)),
        priority=incoming.priority,
        deadline=incoming.deadline,
        key=incoming.key,
        prefixes=prefixes,
        parts=parts,
        budgets=budgets,
        places=sorted(range(len(rests)), key=lambda index: (parts[index], len(rests[index].ids))),
    )
