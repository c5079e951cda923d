"""Reports of unusable rows."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from cli.errors import BadInput

SHOWN = 5


class Rejects(Protocol):
    """Receives the rows that a reader skips."""

    def add(self, file: Path, row: int, reason: str, raw: str) -> None:
        """Reports one row. `row` counts from 1: lines of a text file, elements of an array."""
        ...


class Refusing:
    """For inputs of which every row must be good: the first unusable row raises `BadInput`."""

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
    """The sentence that describes one row."""
    return f"{file}, row {row}: {reason}"
