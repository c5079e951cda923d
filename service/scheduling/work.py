"""A call as it is scheduled: documents in ids, and what each is worth in tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.engine import Completion, Prefix, Prompt, Rest, Scoring


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
    caller."""

    call: str
    prefix: Prefix
    rests: Sequence[Rest]
    answers: tuple[int, ...]
    scoring: Scoring
    budget: int
    priority: int
    deadline: float
    key: str = ""

    @property
    def tokens(self) -> int:
        """All that it may take: prompts, the shared prefix once, and reasoning."""
        return len(self.prefix.ids) + sum(self.costs)

    @property
    def costs(self) -> list[int]:
        """What each document may take besides the prefix."""
        return [len(rest.ids) + self.budget for rest in self.rests]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each document's prompt besides the prefix."""
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

    def prompt(self, index: int, deadline: float, arrived: float) -> Prompt:
        return Prompt(
            call=self.call,
            prefix=self.prefix.ids,
            rest=self.rests[index].ids,
            answers=self.answers,
            budget=self.budget,
            second=self.prefix.second,
            priority=self.priority,
            deadline=deadline,
            arrived=arrived,
        )


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

    def prompt(self, index: int, deadline: float, arrived: float) -> Prompt:
        part = self.parts[index]
        prefix = self.prefixes[part]
        return replace(
            Work.prompt(self, index, deadline, arrived),
            call=f"{self.call}.{part}",
            prefix=prefix.ids,
            second=prefix.second,
            budget=self.budgets[index],
        )


@dataclass(frozen=True, slots=True)
class Share:
    """What one request adds to a batch: its ids, and the most reasoning tokens for each of its documents."""

    prefix: Prefix
    rests: Sequence[Rest]
    budget: int


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
        budgets += [share.budget] * len(share.rests)
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
