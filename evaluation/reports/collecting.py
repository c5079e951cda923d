"""Collects all results below a folder, by kind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.errors import BadData
from evaluation.results.adaptive import AdaptiveResult
from evaluation.results.answers import AnswersResult
from evaluation.results.calibration import CalibrationResult
from evaluation.results.cascade import CascadeResult
from evaluation.results.checks import Target, Targets, TracesResult
from evaluation.results.comparison import Comparison
from evaluation.results.files import parsed
from evaluation.results.fusion import FusionResult
from evaluation.results.injections import InjectionsResult
from evaluation.results.ranking import NotRun, RankingResult

FILES = {
    "result.json": "ranking",
    "calibration.json": "calibration",
    "traces.json": "traces",
    "injections.json": "injections",
    "rag.json": "rag",
    "not_run.json": "not_run",
    "comparison.json": "comparison",
    "targets.json": "targets",
    "adaptive.json": "adaptive",
    "fusion.json": "fusion",
    "cascade.json": "cascade",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """Results of each kind. `by_folder` maps folders to rankings; `as_json` maps each kind (a value of `FILES`) to the
    contents of its files, each with its `"folder"`."""

    by_folder: Mapping[str, RankingResult]
    calibrations: Sequence[CalibrationResult]
    injections: Sequence[InjectionsResult]
    comparisons: Sequence[Comparison]
    answers: Sequence[AnswersResult]
    traces: Sequence[TracesResult]
    targets: Sequence[Target]
    not_run: Sequence[NotRun]
    adaptive: Sequence[AdaptiveResult]
    fusions: Sequence[FusionResult]
    cascades: Sequence[CascadeResult]
    as_json: Mapping[str, Sequence[Mapping[str, Any]]]

    @property
    def rankings(self) -> list[RankingResult]:
        return list(self.by_folder.values())


def collect(root: Path) -> Collected:
    """Reads all results. Raises `BadData` when the folder holds no result, or an unreadable one."""
    read: dict[str, dict[Path, dict[str, Any]]] = {kind: {} for kind in FILES.values()}
    for path in sorted(root.rglob("*.json")):
        if path.name in FILES:
            try:
                read[FILES[path.name]][path] = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise BadData(f"{path} is not JSON ({error}); make it again.") from None
    if not any(read.values()):
        raise BadData(f"{root} holds no results; make some with `limrank-eval run`.")

    def folder(path: Path) -> str:
        return str(path.parent.relative_to(root))

    return Collected(
        by_folder={folder(path): RankingResult.from_json(value, str(path)) for path, value in read["ranking"].items()},
        calibrations=[CalibrationResult.from_json(value, str(path)) for path, value in read["calibration"].items()],
        injections=[InjectionsResult.from_json(value, str(path)) for path, value in read["injections"].items()],
        comparisons=[Comparison.from_json(value, str(path)) for path, value in read["comparison"].items()],
        answers=[AnswersResult.from_json(value, str(path)) for path, value in read["rag"].items()],
        traces=[TracesResult.from_json(value, str(path)) for path, value in read["traces"].items()],
        targets=[
            target for path, value in read["targets"].items() for target in Targets.from_json(value, str(path)).targets
        ],
        not_run=[parsed(NotRun, value, str(path)) for path, value in read["not_run"].items()],
        adaptive=[AdaptiveResult.from_json(value, str(path)) for path, value in read["adaptive"].items()],
        fusions=[FusionResult.from_json(value, str(path)) for path, value in read["fusion"].items()],
        cascades=[CascadeResult.from_json(value, str(path)) for path, value in read["cascade"].items()],
        as_json=_by_first_seen(root, read),
    )


def _by_first_seen(root: Path, read: Mapping[str, Mapping[Path, Mapping[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """The content of each file with its folder; kinds in the order of their first file."""
    found = {kind: files for kind, files in read.items() if files}
    return {
        kind: [{**value, "folder": str(path.parent.relative_to(root))} for path, value in found[kind].items()]
        for kind in sorted(found, key=lambda kind: next(iter(found[kind])))
    }
