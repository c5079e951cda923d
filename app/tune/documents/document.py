"""A document as its sections, and how it is kept in a line of a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of text under one heading. `headings`: those above it, outermost first, its own last; paragraphs of
    `text` are separated by a blank line."""

    headings: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """`id` is the file's path within the folder, or the row's id in a corpus."""

    id: str
    title: str
    sections: tuple[Section, ...]

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Document:
        sections = tuple(Section(tuple(each["headings"]), each["text"]) for each in row["sections"])
        return cls(row["id"], row["title"], sections)


class Unreadable(Exception):
    """A file that gives no document. The message is the rest of a sentence that begins with its name."""


def sections_of(parts: Iterable[tuple[int, str, str]], title: str = "") -> tuple[Section, ...]:
    """Sections from (level of the heading, heading, text below it). Level 0: text before any heading.

    A heading of the first level that says what `title` says is left out of the paths.
    """
    found: list[Section] = []
    path: list[tuple[int, str]] = []
    for level, heading, text in parts:
        if level:
            path = [(above, name) for above, name in path if above < level]
            path.append((level, heading))
        if text.strip():
            names = tuple(name for above, name in path if not (above == 1 and name == title))
            found.append(Section(names, text.strip()))
    return tuple(found)


def first_heading(parts: Sequence[tuple[int, str, str]]) -> str:
    """The first heading of the first level; empty where there is none."""
    return next((heading for level, heading, _ in parts if level == 1), "")
