"""Groups for contrastive training: read, chosen, and laid out as rows of one query and 1 + n passages."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cli.errors import BadInput
from contract.about import AboutError, stated_cost
from contract.records import Group, Record, RecordError, licence_parts, read_groups
from retrieval import id_files
from trainer.errors import BadData

Example = TypeVar("Example", Group, Record)


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
    try:
        groups = kept(read_groups(path), path, choice.leave_out, choice.excluded)
    except RecordError as error:
        raise BadData(str(error)) from None
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror or error}.") from None
    groups.sort(key=lambda group: draw(group.id, choice.seed))
    chosen = groups[: choice.sample]
    if not chosen:
        raise BadData(f"{path} has no group left to train on; check the sample, the exclusions and the file.")
    if choice.sample is not None and len(chosen) < choice.sample:
        raise BadData(f"{path} has {len(chosen)} usable groups, fewer than the {choice.sample} of --sample.")
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


def draw(identity: str, seed: int) -> str:
    """A number in hexadecimal by which examples are drawn, the same in every process and on every machine."""
    return hashlib.sha256(f"{seed}/{identity}".encode()).hexdigest()


def licences(expressions: Iterable[str]) -> tuple[str, ...]:
    """Every licence of the examples, each once, sorted."""
    return tuple(sorted({part for expression in set(expressions) for part in licence_parts(expression)}))


def read_ids(path: Path | None) -> frozenset[str]:
    """The ids of a file, one on a line; None: none. Raise BadData where it cannot be read."""
    try:
        return id_files.read_ids(path)
    except BadInput as error:
        raise BadData(str(error)) from None


def data_cost(path: Path) -> float:
    """What a training file came to, as is said beside it; 0 where nothing is. Raise BadData for what is no number."""
    try:
        return stated_cost(path)
    except AboutError as error:
        raise BadData(str(error)) from None


def kept(examples: Iterable[Example], path: Path, leave_out: str | None, excluded: frozenset[str]) -> list[Example]:
    """The examples without those of the domain or source `leave_out`, or where there is none of that name with ids that
    begin so, and without those whose ids name an excluded one. Raise BadData where `leave_out` is none of all that.
    """
    found = list(examples)
    if leave_out is not None:
        left = [one for one in found if leave_out not in (one.domain, one.source)]
        left = left if len(left) < len(found) else [one for one in found if not one.id.startswith(leave_out)]
        if len(left) == len(found):
            raise BadData(f"{path} has no domain, no source and no beginning of an id {leave_out!r} to leave out.")
        found = left
    return [one for one in found if not names_any(one.id, excluded)]


def names_any(identity: str, excluded: frozenset[str]) -> bool:
    """True when a part of an id (parts are divided by /, a query's begin with q-) is one of the excluded ids."""
    return any(part in excluded or part.removeprefix("q-") in excluded for part in identity.split("/"))


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
