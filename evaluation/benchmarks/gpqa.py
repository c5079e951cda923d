"""GPQA: questions that search alone does not answer (Rein et al. 2023, arXiv 2311.12022), four choices each.

`Idavidrein/gpqa` on the hub (its terms must be accepted), configurations `gpqa_diamond`, `gpqa_main`, `gpqa_extended`,
split `train`; columns Question, Correct Answer, Incorrect Answer 1 to 3, Record ID.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from evaluation.benchmarks.data_source import DataSource
from evaluation.benchmarks.names import Published
from evaluation.benchmarks.rows import DataRow

HUB = "Idavidrein/gpqa"
LETTERS = "ABCD"
COLUMNS = ("Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3", "Record ID")
PUBLISHED = Published("LimRank 7B (arXiv 2510.23544)", "accuracy", 30.3, "per cent; with its own passages and reader")


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its choices in display order, and the letter of the right one."""

    id: str
    text: str
    choices: tuple[str, ...]
    answer: str


def load(source: DataSource, config: str) -> list[Question]:
    """The questions of one configuration. The order of the choices depends only on the record's id."""
    return [_question(row) for row in source.rows(config, "train", COLUMNS, unique="Record ID")]


def _question(row: DataRow) -> Question:
    right, *wrong = (row.text(name).strip() for name in COLUMNS[1:5])
    choices = [right, *wrong]
    order = [0, 1, 2, 3]
    random.Random(f"limrank {row.id('Record ID')}").shuffle(order)  # noqa: S311 - a reproducible order, not a secret
    return Question(
        id=row.id("Record ID"),
        text=row.text("Question").strip(),
        choices=tuple(choices[place] for place in order),
        answer=LETTERS[order.index(0)],
    )
