"""`FILE.about.json`, the sidecar of a file of records, groups or export rows: contents and cost of the file.

Written and read by the synthesizer and the trainer, only through this module.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from hashlib import file_digest
from pathlib import Path
from typing import Any

from contract.files import write_text
from contract.records import Group, Record, licence_parts


class AboutError(ValueError):
    """A sidecar that cannot be read."""


@dataclass(slots=True)
class About:
    """Contents of a file of rows, counted while it is written.

    `licences`, `sources` and `domains` count rows; a row under two licences counts for both. `left_out` counts, by
    reason, the source records that are in no row. `cost` is the total spent, according to their journals, by the run
    folders among the sources and by those that the source files were made from, including rejected and unused replies.
    A run that two of the files were made from counts twice.
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
        """Counts one row. A mapping has the same keys as a record has fields."""
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
        """A one-line summary."""
        held = ", ".join(f"{name} ({count})" for name, count in sorted(self.licences.items()))
        return f"{self.rows} {self.format} rows; licences: {held or 'none'}."


def beside(file: Path) -> Path:
    """The path of a file's sidecar."""
    return file.with_name(f"{file.name}.about.json")


def write_about(about: About, file: Path, settings: Mapping[str, object]) -> None:
    """Replaces the sidecar of `file` with `about`, the checksum of `file` and the settings it was made with. Raises
    `OSError`."""
    with file.open("rb") as content:
        about.sha256 = file_digest(content, "sha256").hexdigest()
    values = {each.name: getattr(about, each.name) for each in fields(about)} | {"settings": settings}
    write_text(beside(file), json.dumps(values, ensure_ascii=False, indent=2, sort_keys=True) + "\n")


def state_cost(file: Path, cost: float) -> None:
    """Replaces the sidecar of `file` with one that states only its cost. Raises `OSError`."""
    write_text(beside(file), json.dumps({"cost": cost}) + "\n")


def stated_cost(file: Path) -> float:
    """The cost stated in the sidecar of `file`; 0 without a sidecar. Raises `AboutError` when the sidecar states no
    number."""
    path = beside(file)
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["cost"])
    except FileNotFoundError:
        return 0.0
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise AboutError(
            f"{path} does not say what {file.name} cost ({type(error).__name__}: {error}); correct or remove it."
        ) from None
