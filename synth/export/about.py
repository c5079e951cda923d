"""What a file of rows holds, counted while it is written and kept beside it as `OUT.about.json`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from contract.about import beside
from contract.records import Group, Record, licence_parts
from synth.output import write_text

BLOCK = 1 << 20


@dataclass(slots=True)
class About:
    """`licences`, `sources` and `domains` count rows; a row under two licences counts for both.

    `left_out` says why records of the sources are in no row. `cost` is all that the run folders among the sources, and
    those that its files were made from, have spent by their journals, what was rejected or not drawn included: that is
    what these rows came to. A run that two of the files were made from counts twice.
    """

    format: str
    rows: int = 0
    relevant: int = 0
    licences: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    domains: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    cost: float = 0.0
    sha256: str = ""

    def count(self, row: Record | Group | Mapping[str, Any]) -> None:
        """Count one row; an object has the same names as a record."""
        source, licence, domain = (
            row[name] if isinstance(row, Mapping) else getattr(row, name) for name in ("source", "licence", "domain")
        )
        self.rows += 1
        self.sources[source] += 1
        self.domains[domain] += 1
        for part in licence_parts(licence):
            self.licences[part] += 1
        self.relevant += isinstance(row, Record) and row.relevant

    def sentence(self) -> str:
        """One line for a person."""
        held = ", ".join(f"{name} ({count})" for name, count in sorted(self.licences.items()))
        return f"{self.rows} {self.format} rows; licences: {held or 'none'}."


def write_about(about: About, out: Path, settings: Mapping[str, object]) -> Path:
    """Take the checksum of `out` and write what is known of it beside it."""
    hasher = sha256()
    with out.open("rb") as file:
        while block := file.read(BLOCK):
            hasher.update(block)
    about.sha256 = hasher.hexdigest()
    path = beside(out)
    values = {one.name: getattr(about, one.name) for one in fields(about)} | {"settings": settings}
    write_text(path, json.dumps(values, ensure_ascii=False, indent=2, sort_keys=True) + "\n")
    return path
