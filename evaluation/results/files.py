"""Result files: JSON written atomically and read into dataclasses; a table of values by query."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from contract.files import write_text
from evaluation.errors import BadData

FORMAT = "limrank.evaluation"
VERSION = 1

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Made:
    """When and on what machine a result was made; informative, not compared."""

    at: str
    machine: str


def made() -> Made:
    """The current time and machine."""
    return Made(datetime.now(UTC).isoformat(timespec="seconds"), f"{platform.machine()}, {os.cpu_count()} CPU cores")


def parsed(kind: type[Kind], value: Mapping[str, Any], name: str) -> Kind:
    """A dataclass from the JSON of a result; unknown fields are ignored. Raises BadData, with the file's `name`, when a
    field is missing or has another type."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise BadData(f"{name} is no such result ({place}: {problem['msg']}); make it again.") from None


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a JSON file atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_per_query(path: Path, values: Mapping[str, Mapping[str, float]]) -> None:
    """One line per query and one column per measure; empty when a measure has no value for a query."""
    queries = sorted({query for found in values.values() for query in found})
    lines = ["\t".join(["query", *values])]
    for query in queries:
        cells = [f"{found[query]:.6f}" if query in found else "" for found in values.values()]
        lines.append("\t".join([query, *cells]))
    write_text(path, "\n".join(lines) + "\n")


def read_per_query(path: Path) -> dict[str, dict[str, float]]:
    """measure -> query -> value, from a file of `write_per_query`."""
    head, *lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")  # ids may contain other line ends
    names = head.split("\t")[1:]
    values: dict[str, dict[str, float]] = {name: {} for name in names}
    for line in lines:
        query, *cells = line.split("\t")
        for name, cell in zip(names, cells, strict=True):
            if cell:
                values[name][query] = float(cell)
    return values
