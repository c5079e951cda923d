"""`measure.json` and `measure.md`: the rows of all columns that were measured into one folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from contract.files import write_text
from evaluation.results.files import made, write_json
from recipes.limrank_mini.measuring import rows
from recipes.limrank_mini.measuring.rows import Column, Row

ORDER = tuple(rows.TARGETS)
_MARKS = {True: "met", False: "missed", None: "too few measured"}


class Table:
    """The table of a folder; every change is written at once."""

    def __init__(self, folder: Path) -> None:
        self._json, self._markdown = folder / "measure.json", folder / "measure.md"
        self._columns: dict[str, dict[str, Any]] = {}
        if self._json.is_file():
            self._columns = json.loads(self._json.read_text(encoding="utf-8"))["columns"]

    def begin(self, scorer: str, column: Column, identity: Mapping[str, Any]) -> None:
        """Begins or resumes a column. Rows that another model of this name had are dropped."""
        known = self._columns.get(scorer)
        same = known is not None and known["identity"] == json.loads(json.dumps(dict(identity)))
        rows_so_far = known["rows"] if known is not None and same else {}
        self._columns[scorer] = {"column": column, "identity": dict(identity), "rows": rows_so_far}

    def add(self, scorer: str, found: Iterable[Row]) -> None:
        """Adds rows to a column and writes both files."""
        column = self._columns[scorer]
        column["rows"] |= {row.name: row.to_json(column["column"]) for row in found}
        write_json(self._json, {"kind": "measure", "columns": self._columns, "made": asdict(made())})
        write_text(self._markdown, self.markdown())

    def markdown(self) -> str:
        """One column for each scorer, one line for each thing measured; targets in brackets."""
        names = list(self._columns)
        lines = [f"| measured | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
        for row in ORDER:
            cells = [_cell(self._columns[name]["rows"].get(row)) for name in names]
            if any(cells):
                lines.append(f"| {row} | {' | '.join(cells)} |")
        notes = [
            f"- {name}, {row['name']}: {row['note']}"
            for name in names
            for row in self._columns[name]["rows"].values()
            if row["note"]
        ]
        return "\n".join([*lines, "", *notes]) + "\n"


def row_line(row: Row, column: Column) -> str:
    """One line for the terminal."""
    return f"{row.name}: {_cell(row.to_json(column))}{f' {row.note}' if row.note else ''}"


def _cell(row: Mapping[str, Any] | None) -> str:
    """`0.931 [0.920, 0.941] on 1,518 queries (>= 0.93: met)`."""
    if row is None:
        return ""
    digits = 0 if row["what"] == "passages" else 3
    value = f"{row['value']:.{digits}f} [{row['low']:.{digits or 1}f}, {row['high']:.{digits or 1}f}]"
    target = f" ({row['target']}: {_MARKS[row['met']]})" if row["target"] else ""
    return f"{value} on {row['count']:,} {row['what']}{target}"
