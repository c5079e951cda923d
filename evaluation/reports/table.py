"""A table of strings, and its Markdown form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a title, a line that explains it, and rows as long as `columns`."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def markdown(table: Table) -> str:
    """The table as Markdown, under its title."""
    lines = [f"## {table.title}", "", table.note, ""] if table.note else [f"## {table.title}", ""]
    lines += [_row(table.columns), _row("---" for _ in table.columns), *map(_row, table.rows)]
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
