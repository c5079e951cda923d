"""Graded verdicts: the positions at which the answer is read, and the expectation over all grades.

A grade is a text of one or more tokens, such as "10" or "yes(3". Grades that share a first token need another read
after that token: with the grades "1" and "10" there is a second read after the token "1". A token that only one grade
can continue with is not read.

Worked example with the grades 1, 2 and 10, whose tokens are "1", "2" and "1" "0". The answers read are "1" and "2" at
the prompt's end, and "0" after "1". With P("1") = 0.75, P("2") = 0.25 and P("0" after "1") = 0.4 the weights are:

    grade 1     0.75 * (1 - 0.4) = 0.45
    grade 2     0.25
    grade 10    0.75 * 0.4       = 0.30     expectation 0.45 * 1 + 0.25 * 2 + 0.30 * 10 = 3.95
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from contract.formats.tokenizer import ContractError

Path = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """One read: the ids `behind` (after) the prompt or the reasoning, and the token ids whose probabilities are read
    there."""

    behind: Path
    answers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Grades:
    """`reads` begins with the one at the end of the prompt. `values` maps the token ids of each grade to its value."""

    reads: tuple[Read, ...]
    values: Mapping[Path, float] = field(hash=False)

    @property
    def highest(self) -> float:
        return max(self.values.values())

    def expectation(self, answers: Sequence[float]) -> float:
        """The expected grade; probabilities are normalised over the grades.

        `answers` are the log-probabilities of the answers of all reads, concatenated.
        """
        steps = self._steps(answers)
        weights = {path: self._weight(path, steps) for path in self.values}
        total = math.fsum(weights.values())
        if total == 0:
            return math.nan
        return math.fsum(weight * self.values[path] for path, weight in weights.items()) / total

    def _steps(self, answers: Sequence[float]) -> dict[Path, float]:
        """Probability of each token read, keyed by the ids up to and including it. Those of the first read share a
        constant factor."""
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
    """Plans the reads. Raises ContractError when all grades begin with the same token."""
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
