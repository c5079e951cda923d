"""Graded verdicts: the places at which a model is read, and the expectation over all grades.

A grade is a text of one token or more, such as "10", or "yes(3". Where grades begin alike the model is read again
behind what they share: "1" and "10" need a second place, behind the token "1". What only one grade can go on with is
not read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from contract.formats.tokenizer import ContractError

Path = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """A place at which answers are read: `behind` are ids between the prompt (or the end of reasoning) and it."""

    behind: Path
    answers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Grades:
    """`reads`: the places, the first of them at the prompt's end. `values` of the grades by their token ids."""

    reads: tuple[Read, ...]
    values: Mapping[Path, float] = field(hash=False)

    @property
    def highest(self) -> float:
        return max(self.values.values())

    def expectation(self, answers: Sequence[float]) -> float:
        """The mean of the grades by their probabilities, which are made to sum to 1 over them.

        `answers`: log-probabilities of all reads' answers, one after another.
        """
        steps = self._steps(answers)
        weights = {path: self._weight(path, steps) for path in self.values}
        total = math.fsum(weights.values())
        if total == 0:
            return math.nan
        return math.fsum(weight * self.values[path] for path, weight in weights.items()) / total

    def _steps(self, answers: Sequence[float]) -> dict[Path, float]:
        """The probability of each token that was read, by the ids up to it; of the first place's up to one factor."""
        steps: dict[Path, float] = {}
        begin = 0
        for read in self.reads:
            values = answers[begin : begin + len(read.answers)]
            begin += len(read.answers)
            most = 0.0 if read.behind else max(values)
            steps |= {(*read.behind, token): math.exp(v - most) for token, v in zip(read.answers, values, strict=True)}
        return steps

    def _weight(self, path: Path, steps: Mapping[Path, float]) -> float:
        weight = math.prod(steps.get(path[:end], 1.0) for end in range(1, len(path) + 1))
        going_on = [steps[place] for place in steps if len(place) == len(path) + 1 and place[:-1] == path]
        return weight * max(0.0, 1.0 - math.fsum(going_on))


def grades_of(values: Mapping[Path, float]) -> Grades:
    """The places to read at. Raise ContractError where all grades begin with one token."""
    starts = {path[:end] for path in values for end in range(len(path))}
    reads = []
    for start in sorted(starts, key=lambda path: (len(path), path)):
        following = sorted(
            {path[len(start)] for path in values if len(path) > len(start) and path[: len(start)] == start}
        )
        if len(following) > 1 or start in values:
            reads.append(Read(start, tuple(following)))
    if not reads or reads[0].behind:
        raise ContractError("All grades begin with the same token; put what they share at the end of the prompt.")
    return Grades(tuple(reads), dict(values))
