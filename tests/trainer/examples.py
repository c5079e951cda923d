"""Training examples with a rule that can be learned: the passage answers when it names the query's own thing."""

from __future__ import annotations

import random
from collections.abc import Iterator

from contract.records import Difficulty, Group, Intent, NegativeType, Record
from contract.scored_groups import ScoredGroup

THINGS = ("oak", "salt", "iron", "rice", "wool", "clay", "silk", "lead", "corn", "jade")
VERBS = ("grows", "melts", "breaks", "dries", "rots", "shines")


def records(count: int, *, traced: bool = True) -> Iterator[Record]:
    """Half of them relevant; every third has an instruction."""
    choose = random.Random(5)
    for number in range(count):
        thing, other = choose.sample(THINGS, 2)
        relevant = number % 2 == 0
        named = thing if relevant else other
        verb = choose.choice(VERBS)
        trace = f"The query asks about {thing}. The passage is about {named}."
        yield Record(
            id=f"test/q-{number}/{number}",
            query=f"When {verb} {thing}?",
            passage=f"Often {named} {verb} after {choose.randint(2, 9)} days. " + "It is so. " * choose.randint(0, 6),
            instruction="Only passages on the same thing count." if number % 3 == 0 else None,
            relevant=relevant,
            trace=trace if traced else None,
            source="test",
            licence="CC0-1.0",
            domain="materials" if number % 4 else "crafts",
            difficulty=Difficulty.DIRECT,
            negative_type=None if relevant else NegativeType.WRONG_ENTITY,
            intent=Intent.DIRECT,
        )


def groups(count: int, negatives: int = 4) -> Iterator[Group]:
    """One passage on the query's own thing, the others on other things and, so that few steps teach it, with a no."""
    choose = random.Random(6)
    for number in range(count):
        thing, *others = choose.sample(THINGS, 1 + negatives)
        verb = choose.choice(VERBS)
        yield Group(
            id=f"test/q-{number}/plain",
            query=f"When {verb} {thing}, case {number}?",
            positive=f"Often {thing} {verb} after {choose.randint(2, 9)} days.",
            negatives=tuple(f"Never {other} {verb} after {choose.randint(2, 9)} days." for other in others),
            source="test",
            licence="CC0-1.0",
            domain="materials" if number % 4 else "crafts",
        )


def scored_groups(count: int) -> Iterator[ScoredGroup]:
    """Groups of two to five passages. A third have no positive; of the others every second has no teacher, who is right
    where there is one."""
    for number, group in enumerate(groups(count)):
        passages = (*group.negatives[: 1 + number % 4], group.positive)
        labelled = number % 3 != 0
        teacher = (*(0.1 * place for place in range(len(passages) - 1)), 0.9)
        yield ScoredGroup(
            id=group.id,
            query=group.query,
            passages=passages,
            positive=len(passages) - 1 if labelled else None,
            teacher=teacher if not labelled or number % 2 else (),
            source=group.source,
            licence=group.licence,
            domain=group.domain,
        )
