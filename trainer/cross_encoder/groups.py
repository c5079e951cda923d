"""Groups for contrastive training: reading, choosing, and conversion into rows of one query and 1 + n passages."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.reading import reading_key
from contract.records import Group, RecordError, read_groups
from contract.scored_groups import ScoredGroup, is_scored_file, read_scored_groups
from trainer.cross_encoder.plain_groups import is_plain_file, read_plain_groups
from trainer.errors import BadData
from trainer.run.data import choose, draw

_TRIES = 20  # draws for each group of a file


@dataclass(frozen=True, slots=True)
class GroupChoice:
    """Which groups of a file are used. `sample` None: all. `leave_out` is a domain, a source or an id prefix."""

    negatives: int
    negatives_from: str = "hard"
    sample: int | None = None
    leave_out: str | None = None
    excluded: frozenset[str] = frozenset()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One group in its training form: the positive is the first of `passages`, unless the group is not `labelled`.

    `teacher` has one score per passage, or is empty.
    """

    query: str
    instruction: str | None
    passages: tuple[str, ...]
    labelled: bool = True
    teacher: tuple[float, ...] = ()


def load_groups(path: Path, choice: GroupChoice) -> list[Group | ScoredGroup]:
    """The chosen groups of a file, in an order determined by the seed; a larger sample contains every smaller one.
    Scored groups are used unchanged; `negatives` and `negatives_from` choose among the negatives of other groups.

    Raises BadData for a file that cannot be read, or of which nothing is left.
    """
    return choose(
        path,
        _read,
        unit="group",
        sample=choice.sample,
        leave_out=choice.leave_out,
        excluded=choice.excluded,
        seed=choice.seed,
    )


def rows(groups: Sequence[Group | ScoredGroup], choice: GroupChoice) -> list[Row]:
    """Each group with `choice.negatives` negatives drawn by the seed and its id: its own hard ones, of which there may
    be fewer, or positives of other groups that do not answer the same query. Scored groups are used unchanged."""
    plain = [group for group in groups if isinstance(group, Group)]
    answers = _answers(plain)
    return [
        Row(group.query, group.instruction, (group.positive, *_negatives(group, plain, answers, choice)))
        if isinstance(group, Group)
        else scored_row(group)
        for group in groups
    ]


def scored_row(group: ScoredGroup) -> Row:
    """A scored group with its positive first."""
    places = sorted(range(len(group.passages)), key=lambda place: place != group.positive)
    passages = tuple(group.passages[place] for place in places)
    teacher = tuple(group.teacher[place] for place in places) if group.teacher else ()
    return Row(group.query, group.instruction, passages, group.positive is not None, teacher)


def is_labelled(group: Group | ScoredGroup) -> bool:
    """Whether the answer is known."""
    return isinstance(group, Group) or group.positive is not None


def read_all(path: Path) -> None:
    """Reads every group of a file. Raises BadData for the first invalid one."""
    try:
        for _ in _read(path):
            pass
    except RecordError as error:
        raise BadData(str(error)) from None


def _read(path: Path) -> Iterable[Group | ScoredGroup]:
    if is_plain_file(path):
        return read_plain_groups(path)
    return read_scored_groups(path) if is_scored_file(path) else read_groups(path)


def _negatives(
    group: Group, groups: Sequence[Group], answers: Mapping[str, set[str]], choice: GroupChoice
) -> list[str]:
    generator = random.Random(draw(group.id, choice.seed))  # noqa: S311 - sampling, not secrets
    if choice.negatives_from == "hard":
        return generator.sample(group.negatives, min(choice.negatives, len(group.negatives)))
    own = answers[reading_key(group.query)]
    others: list[str] = []
    tried = 0
    while len(others) < choice.negatives:
        other = groups[generator.randrange(len(groups))]
        if reading_key(other.positive) not in own:
            others.append(other.positive)
        tried += 1
        if not others and tried > _TRIES * len(groups):
            raise BadData(
                f"Group {group.id!r}: no other group has another positive, so none can be a negative; "
                "use --negatives-from hard, or a file of more queries."
            )
    return others


def _answers(groups: Sequence[Group]) -> dict[str, set[str]]:
    """Maps each query to the positives of its groups, both as reading keys."""
    answers: dict[str, set[str]] = {}
    for group in groups:
        answers.setdefault(reading_key(group.query), set()).add(reading_key(group.positive))
    return answers
