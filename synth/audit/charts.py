"""The page's charts, as SVG text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cli.figures import BLUE, GREEN, RED, style, svg

COLOURS = {"accepted": GREEN, "rejected": RED, "retry": "#d9a441", "failed": "#7b8794"}
LONGEST_NAME = 28
ABOVE: Any = {
    "loc": "lower left",
    "bbox_to_anchor": (0, 0.98),
    "ncols": 4,
    "frameon": False,
    "borderpad": 0,
    "handlelength": 1.0,
    "handletextpad": 0.4,
    "columnspacing": 0.9,
    "fontsize": 8,
}
BESIDE: Any = {"textcoords": "offset points", "va": "center", "fontsize": 8}


def shares(counts: Mapping[str, int], quotas: Mapping[str, float]) -> str:
    """Bars of the actual shares in per cent, with a mark at the quota if there is one."""
    total = sum(counts.values()) or 1
    asked = sum(quotas.values()) or 1.0
    names = sorted(set(counts) | set(quotas), key=lambda name: (-counts.get(name, 0), name))
    values = {name: 100 * counts.get(name, 0) / total for name in names}
    with _bars(names) as (axes, rows, drawn):
        axes.barh(rows, list(values.values()), color=BLUE, height=0.62, label="came out")
        marks = [(100 * quotas[name] / asked, row) for row, name in enumerate(names) if name in quotas]
        if marks:
            axes.plot(*zip(*marks, strict=True), "|", color="#d0342c", markersize=13, markeredgewidth=2, label="quota")
            axes.legend(**ABOVE)
        for row, (name, value) in enumerate(values.items()):
            label = f"{value:.1f} % ({counts.get(name, 0):,})"
            axes.annotate(label, (1, row), xycoords=axes.get_yaxis_transform(), xytext=(4, 0), **BESIDE)
        axes.margins(x=0.05)
        axes.set_xlabel("per cent")
    return drawn[0]


def bars(counts: Mapping[str, float], label: str, form: str = "{:,.0f}") -> str:
    """Bars, largest first, each with its value."""
    names = sorted(counts, key=lambda name: (-counts[name], name))
    with _bars(names) as (axes, rows, drawn):
        values = [counts[name] for name in names]
        axes.barh(rows, values, color=BLUE, height=0.62)
        _label(axes, rows, values, [form.format(value) for value in values])
        axes.set_xlabel(label)
    return drawn[0]


def stacked(counts: Mapping[str, Mapping[str, int]], label: str) -> str:
    """One bar per name, in the given order, split by status; the share accepted is at its end."""
    names = list(counts)
    with _bars(names) as (axes, rows, drawn):
        start = [0.0] * len(names)
        for status, colour in COLOURS.items():
            values = [float(counts[name].get(status, 0)) for name in names]
            if any(values):
                axes.barh(rows, values, left=start, color=colour, height=0.62, label=status)
            start = [before + value for before, value in zip(start, values, strict=True)]
        ends = [counts[name].get("accepted", 0) / (sum(counts[name].values()) or 1) for name in names]
        _label(axes, rows, start, [f"{100 * end:.1f} %" for end in ends])
        axes.legend(**ABOVE)
        axes.set_xlabel(label)
    return drawn[0]


def histograms(lengths: Mapping[str, Mapping[int, int]]) -> str:
    """Distributions of lengths in words, side by side, without the longest hundredth."""
    with style():
        figure = Figure(figsize=(9.2, 2.1), layout="constrained")
        for place, (name, counts) in enumerate(lengths.items(), start=1):
            axes = figure.add_subplot(1, len(lengths), place)
            values = sorted(counts)
            last = _quantile(counts, 0.99) if values else 1
            weights = [counts[value] for value in values]
            axes.hist(values, bins=min(30, last + 1), range=(0, last + 1), weights=weights, color=BLUE)
            axes.yaxis.set_major_formatter("{x:,.0f}")
            axes.set_title(f"{name}, words", fontsize=9)
            axes.locator_params(axis="both", nbins=5, integer=True)
        return svg(figure)


def columns(counts: Mapping[str, int], label: str) -> str:
    """Vertical bars in the given order, each with its value."""
    with style():
        figure = Figure(figsize=(4.5, 2.3), layout="constrained")
        axes = figure.add_subplot()
        drawn = axes.bar(list(counts), list(counts.values()), color=BLUE, width=0.7)
        axes.bar_label(drawn, labels=[f"{count:,}" if count else "" for count in counts.values()], fontsize=8)
        axes.tick_params(axis="x", labelsize=8)
        axes.set_xlabel(label)
        axes.margins(y=0.14)
        axes.locator_params(axis="y", nbins=4, integer=True)
        return svg(figure)


@contextmanager
def _bars(names: Sequence[str]) -> Iterator[tuple[Axes, list[int], list[str]]]:
    """Yields axes for horizontal bars, the first name on top, and the list to which the finished SVG is appended."""
    drawn: list[str] = []
    with style():
        figure = Figure(figsize=(4.5, 0.75 + 0.29 * max(2, len(names))), layout="constrained")
        axes = figure.add_subplot()
        rows = list(range(len(names)))
        axes.set_yticks(rows, [name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…" for name in names])
        axes.set_ylim(max(2, len(names)) - 0.45, -0.55)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.32)
        yield axes, rows, drawn
        axes.locator_params(axis="x", nbins=5)
        if axes.get_xlim()[1] >= 1000:
            axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlim(left=0)
        drawn.append(svg(figure))


def _label(axes: Axes, rows: Sequence[int], ends: Sequence[float], texts: Sequence[str]) -> None:
    for row, end, text in zip(rows, ends, texts, strict=True):
        axes.annotate(text, (end, row), xytext=(4, 0), **BESIDE)


def _quantile(counts: Mapping[int, int], share: float) -> int:
    left = share * sum(counts.values())
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return value
    return max(counts)
