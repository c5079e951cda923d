"""The result of a verification, as figures and as text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from cli.output import table

REASONS_SHOWN = 5


@dataclass(slots=True)
class FilterCount:
    """One filter: how many records it saw, and how many it dropped for each reason."""

    name: str
    shown: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Score:
    """The performance of one filter, or of all together, on records whose true label is known.

    `kept_right` counts kept records with the true label, `dropped_wrong` dropped records with a wrong one.
    """

    kept_right: int = 0
    kept_wrong: int = 0
    dropped_right: int = 0
    dropped_wrong: int = 0

    @property
    def precision(self) -> float | None:
        """The share of the kept records whose label is right; None when none was kept."""
        return _ratio(self.kept_right, self.kept_right + self.kept_wrong)

    @property
    def recall(self) -> float | None:
        """The share of the correctly labelled records that was kept."""
        return _ratio(self.kept_right, self.kept_right + self.dropped_right)

    @property
    def drop_precision(self) -> float | None:
        """The share of the dropped records whose label is wrong."""
        return _ratio(self.dropped_wrong, self.dropped_wrong + self.dropped_right)

    @property
    def drop_recall(self) -> float | None:
        """The share of the wrongly labelled records that was dropped."""
        return _ratio(self.dropped_wrong, self.dropped_wrong + self.kept_wrong)

    def add(self, kept: bool, right: bool) -> None:
        name = f"{'kept' if kept else 'dropped'}_{'right' if right else 'wrong'}"
        setattr(self, name, getattr(self, name) + 1)


@dataclass(slots=True)
class VerifyReport:
    """`scores` is empty unless records with known labels were given; "all" stands for all filters together. `notes` are
    sentences on texts that the filters could not compare."""

    shown: int = 0
    kept: int = 0
    undecided_traces: int = 0
    filters: list[FilterCount] = field(default_factory=list)
    labelled: int = 0
    scores: dict[str, Score] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def verify_table(report: VerifyReport) -> str:
    """Several lines: each filter's count and most common reasons, then its scores if labels were known."""
    lines = [f"{report.kept} of {report.shown} records kept", ""]
    rows = [("filter", "shown", "dropped")]
    rows += [(item.name, str(item.shown), str(item.dropped.total())) for item in report.filters]
    lines.append(table(rows))
    for item in report.filters:
        lines += [f"  {item.name}: {reason}: {count}" for reason, count in item.dropped.most_common(REASONS_SHOWN)]
    lines += report.notes
    if report.undecided_traces:
        lines.append(f"{report.undecided_traces} traces come to no conclusion that could be read")
    if report.scores:
        lines += ["", f"{report.labelled} records have a known label", _scores(report.scores)]
    return "\n".join(lines)


def _scores(scores: dict[str, Score]) -> str:
    header = ("filter", "precision", "recall", "precision of drops", "recall of drops")
    rows = [
        (name, *map(_share, (score.precision, score.recall, score.drop_precision, score.drop_recall)))
        for name, score in scores.items()
    ]
    return table([header, *rows])


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
