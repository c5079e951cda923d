"""All results below a folder, by kind."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.errors import BadData

FILES = {
    "result.json": "ranking",
    "calibration.json": "calibration",
    "traces.json": "traces",
    "injections.json": "injections",
    "rag.json": "rag",
    "not_run.json": "not_run",
    "comparison.json": "comparison",
    "targets.json": "targets",
}


@dataclass(frozen=True, slots=True)
class Collected:
    """Results by kind (the values of `FILES`), each with its folder under `"folder"`."""

    root: Path
    found: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return self.found.get(kind, [])


def collect(root: Path) -> Collected:
    """Read what is there. Raises `BadData` where the folder holds no result, or one that cannot be read."""
    collected = Collected(root)
    for path in sorted(root.rglob("*.json")):
        if path.name not in FILES:
            continue
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BadData(f"{path} is not JSON ({error}); make it again.") from None
        collected.found.setdefault(FILES[path.name], []).append(value | {"folder": str(path.parent.relative_to(root))})
    if not collected.found:
        raise BadData(f"{root} holds no results; make some with `limrank-eval run`.")
    return collected
