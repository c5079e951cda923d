"""Groups for contrastive training: read, chosen, and laid out as rows of one query and 1 + n passages."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.records import Group, RecordError, licence_parts, read_groups
from trainer.errors import BadData


@dataclass(frozen=True, slots=True)
class GroupChoice:
    """What is taken of a file of groups. `sample` None: all. `leave_out`: a domain, or the beginning of ids."""

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
        groups = [group for group in read_groups(path) if not _left_out(group, choice)]
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
    if path is None:
        return frozenset()
    try:
        return frozenset(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"{path} cannot be read: {error}.") from None


def _left_out(group: Group, choice: GroupChoice) -> bool:
    stated = choice.leave_out
    if stated is not None and (stated in (group.domain, group.source) or group.id.startswith(stated)):
        return True
    return names_any(group.id, choice.excluded)


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
