"""Rows that cannot be used: where a reader reports them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from cli.errors import BadInput

SHOWN = 5


class Rejects(Protocol):
    """Takes the rows that a reader passes over."""

    def add(self, file: Path, row: int, reason: str, raw: str) -> None:
        """Report one row. `row` counts as the file's own numbering does: lines from 1, elements of an array from 1."""
        ...


class Refusing:
    """For inputs of which every row must be good: the first row that cannot be used raises `BadInput`."""

    def add(self, file: Path, row: int, reason: str, raw: str) -> None:
        raise BadInput(sentence(file, row, reason))


class Listed:
    """Counts the rows and keeps the first sentences."""

    def __init__(self) -> None:
        self.count = 0
        self.sentences: list[str] = []

    def add(self, file: Path, row: int, reason: str, raw: str) -> None:
        self.count += 1
        if len(self.sentences) < SHOWN:
            self.sentences.append(sentence(file, row, reason))


def sentence(file: Path, row: int, reason: str) -> str:
    """The sentence that names one row."""
    return f"{file}, row {row}: {reason}"
