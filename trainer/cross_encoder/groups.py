"""Groups for contrastive training: read, chosen, and laid out as rows of one query and 1 + n passages."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.records import Group, read_groups
from trainer.errors import BadData
from trainer.run.data import choose, draw


@dataclass(frozen=True, slots=True)
class GroupChoice:
    """What is taken of a file of groups. `sample` None: all. `leave_out`: a domain, a source or what ids begin with."""

    negatives: int
    negatives_from: str = "hard"
    sample: int | None = None
    leave_out: str | None = None
    excluded: frozenset[str] = frozenset()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One group as it is trained: the positive is the first of `passages`."""

    query: str
    instruction: str | None
    passages: tuple[str, ...]


def load_groups(path: Path, choice: GroupChoice) -> list[Group]:
    """The chosen groups of a file, in an order that the seed decides; a larger sample holds every smaller one.

    Raise BadData for a file that cannot be read, that has groups of too few negatives, or of which nothing is left.
    """
    chosen = choose(
        path,
        read_groups,
        unit="group",
        sample=choice.sample,
        leave_out=choice.leave_out,
        excluded=choice.excluded,
        seed=choice.seed,
    )
    if choice.negatives_from == "hard":
        for group in chosen:
            if len(group.negatives) < choice.negatives:
                raise BadData(
                    f"{path}: group {group.id!r} has {len(group.negatives)} negatives, fewer than the "
                    f"{choice.negatives} of --negatives; lower it."
                )
    return chosen


def rows(groups: Sequence[Group], choice: GroupChoice) -> list[Row]:
    """Each group with `choice.negatives` negatives drawn by the seed and its id: its own hard ones, or positives of
    other groups."""
    return [
        Row(group.query, group.instruction, (group.positive, *_negatives(group, groups, choice))) for group in groups
    ]


def _negatives(group: Group, groups: Sequence[Group], choice: GroupChoice) -> list[str]:
    generator = random.Random(draw(group.id, choice.seed))  # noqa: S311 - sampling, not secrets
    if choice.negatives_from == "hard":
        return generator.sample(group.negatives, choice.negatives)
    others: list[str] = []
    while len(others) < choice.negatives:
        other = groups[generator.randrange(len(groups))]
        if other.positive != group.positive or len({one.positive for one in groups[:2]}) < 2:
            others.append(other.positive)
    return others
