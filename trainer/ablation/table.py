"""The table and the plot of an ablation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from trainer.run.dev_score import DEV
from trainer.run.folder import writing


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a variant. `examples` are the groups or records that it trained on. `seconds` covers all devices,
    including the dev scores at the ends of sessions. `dev` and `other` hold `score`, `before` (first stage) and
    `oracle`. `data_cost` is in money."""

    name: str
    examples: int
    seconds: float
    dev: Mapping[str, float] | None
    other: Mapping[str, float] | None
    data_cost: float

    def cost_of_a_point(self, hour_cost: float) -> float | None:
        """The cost of each hundredth of nDCG@10 gained on dev over the first stage; None without a gain."""
        if self.dev is None or self.dev["score"] <= self.dev["before"]:
            return None
        spent = self.data_cost + self.seconds / 3600 * hour_cost
        return spent / (100 * (self.dev["score"] - self.dev["before"]))


def write_table(folder: Path, kind: str, outcomes: Sequence[Outcome], *, unit: str, hour_cost: float) -> None:
    """Writes ablation-KIND.json, .md and .png. Raises BadRunFolder when they cannot be written."""
    stem = folder / f"ablation-{kind}"
    rows = [asdict(outcome) | {"cost_of_a_point": outcome.cost_of_a_point(hour_cost)} for outcome in outcomes]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        stem.with_suffix(".json").write_text(json.dumps({"kind": kind, "variants": rows}, indent=1) + "\n")
        stem.with_suffix(".md").write_text(markdown(kind, outcomes, unit, hour_cost))
        _plot(stem.with_suffix(".png"), kind, outcomes)


def markdown(kind: str, outcomes: Sequence[Outcome], unit: str, hour_cost: float) -> str:
    """One row per variant; `-` for values that were not measured."""
    head = [
        "variant",
        unit,
        DEV,
        "first stage",
        "other domain",
        "first stage",
        "device hours",
        "data cost",
    ]
    lines = [f"# Ablation: {kind}", "", "| " + " | ".join([*head, "cost of a point"]) + " |", "|---" * 9 + "|"]
    for outcome in outcomes:
        cells = [
            outcome.name,
            f"{outcome.examples:,}",
            _figure(outcome.dev, "score"),
            _figure(outcome.dev, "before"),
            _figure(outcome.other, "score"),
            _figure(outcome.other, "before"),
            f"{outcome.seconds / 3600:.2f}",
            f"{outcome.data_cost:.2f}",
            "-" if (cost := outcome.cost_of_a_point(hour_cost)) is None else f"{cost:.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _figure(scores: Mapping[str, float] | None, name: str) -> str:
    return "-" if scores is None else f"{scores[name]:.4f}"


def _plot(path: Path, kind: str, outcomes: Sequence[Outcome]) -> None:
    """One bar per variant and domain, and a dotted line for the domain's first stage."""
    import matplotlib.pyplot as plt  # imported here: takes a second

    figure, axes = plt.subplots(figsize=(8, 1.6 + 0.5 * len(outcomes)), layout="constrained")
    for label, found, place, colour in (
        ("dev", [outcome.dev for outcome in outcomes], -0.2, "tab:blue"),
        ("other domain", [outcome.other for outcome in outcomes], 0.2, "tab:orange"),
    ):
        known = [(at + place, scores) for at, scores in enumerate(found) if scores is not None]
        if known:
            places, widths = [at for at, _ in known], [scores["score"] for _, scores in known]
            bars = axes.barh(places, widths, height=0.35, label=label, color=colour)
            axes.bar_label(bars, fmt="%.3f", padding=3, fontsize=8)
            axes.axvline(known[0][1]["before"], color=colour, linestyle=":", label=f"{label}, first stage")
    axes.set_yticks(range(len(outcomes)), [outcome.name for outcome in outcomes])
    axes.invert_yaxis()
    axes.set(xlabel="nDCG@10", title=f"Ablation: {kind}", xlim=(0, 1.1), xticks=[at / 5 for at in range(6)])
    if axes.has_data():
        figure.legend(loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
