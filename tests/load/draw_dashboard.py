"""Draws the dashboard's panels from a real run: the service, Prometheus beside it, everybody calling at once.

    .venv/bin/python -m tests.load.draw_dashboard docs/images/dashboard.png [seconds of load]

Each panel's own queries are asked over the run, with the dashboard's places, legends and units; Grafana is missing.
"""

from __future__ import annotations

import math
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

from tests.helm.live_prometheus import Prometheus, prometheus
from tests.helm.promql import FOREIGN, panels, selectors
from tests.load.locust_runs import SHORT, locust
from tests.service.embedded_server import embedded_server

STEP = 2  # seconds between points
RATE_INTERVAL = "20s"
NAMESPACE, JOB = "search", "rerank-limrank"
VARIABLES = {"$namespace": ".*", "$job": JOB, "$instance": ".+", "$__rate_interval": RATE_INTERVAL}
UNITS = {"s": "s", "reqps": "1/s", "percentunit": "share", "bytes": "bytes", "ops": "1/s"}

Series = tuple[str, list[float], list[float]]


class Run:
    """What Prometheus holds of the time from `start` to `end`, in seconds since 1970."""

    def __init__(self, source: Prometheus, start: float, end: float) -> None:
        self.source, self.start, self.end = source, start, end

    def series(self, target: dict[str, Any]) -> list[Series]:
        """Legend, times since the start and values of every series of a panel's query."""
        expression = target["expr"]
        for variable, value in VARIABLES.items():
            expression = expression.replace(variable, value)
        found = self.source.ask(
            "query_range", query=expression, start=str(self.start), end=str(self.end), step=f"{STEP}s"
        )["result"]
        return [self._named(each, target["legendFormat"]) for each in found]

    def _named(self, found: dict[str, Any], legend: str) -> Series:
        name = re.sub(r"{{\s*(\w+)\s*}}", lambda match: found["metric"].get(match[1], ""), legend)
        points = [(float(at) - self.start, float(value)) for at, value in found["values"]]
        return name.replace("127.0.0.1:", "replica "), [at for at, _ in points], [value for _, value in points]


def draw(run: Run, path: Path) -> None:
    """All panels but those of other exporters, where the dashboard has them."""
    shown = [panel for panel in panels() if not _foreign(panel)]
    rows = sorted({panel["gridPos"]["y"] for panel in shown})
    mpl.rcParams.update({"font.size": 7, "axes.titlesize": 8, "axes.grid": True, "grid.alpha": 0.3})
    figure = plt.figure(figsize=(18, 2.6 * len(rows)), layout="constrained")
    grid = figure.add_gridspec(len(rows), 24, height_ratios=[0.35 if _is_stat(shown, y) else 1 for y in rows])
    for panel in shown:
        place = panel["gridPos"]
        axes = figure.add_subplot(grid[rows.index(place["y"]), place["x"] : place["x"] + place["w"]])
        series = [each for target in panel["targets"] for each in run.series(target)]
        axes.set_title(panel["title"], loc="left", fontweight="bold")
        {"stat": _stat, "heatmap": _heatmap}.get(panel["type"], _lines)(axes, panel, series)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=70)


def _foreign(panel: dict[str, Any]) -> bool:
    names = [selector.name for target in panel["targets"] for selector in selectors(target["expr"])]
    return any(FOREIGN.fullmatch(name) for name in names)


def _is_stat(shown: Sequence[dict[str, Any]], y: int) -> bool:
    return all(panel["type"] == "stat" for panel in shown if panel["gridPos"]["y"] == y)


def _stat(axes: Any, panel: dict[str, Any], series: list[Series]) -> None:
    axes.axis("off")
    shown = [name if panel["options"].get("textMode") == "name" else _number(values) for name, _, values in series]
    axes.text(0.0, 0.4, " / ".join(shown), fontsize=13 if len(" ".join(shown)) < 12 else 7, wrap=True)


def _number(values: list[float]) -> str:
    numbers = [value for value in values if not math.isnan(value)]
    return f"{numbers[-1]:.3g}" if numbers else "-"


def _lines(axes: Any, panel: dict[str, Any], series: list[Series]) -> None:
    alive = [each for each in series if any(value > 0 for value in each[2])]
    stacked = panel["fieldConfig"]["defaults"].get("custom", {}).get("stacking", {}).get("mode") == "normal"
    if stacked and alive:
        times = sorted({at for _, when, _ in alive for at in when})
        filled = [_on(times, each) for each in alive]
        axes.stackplot(times, filled, labels=[name for name, *_ in alive], alpha=0.6)
    else:
        for name, when, values in alive:
            axes.plot(when, values, label=name, linewidth=1.2)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(UNITS.get(panel["fieldConfig"]["defaults"].get("unit", ""), ""))
    axes.margins(x=0)
    if alive:
        axes.legend(loc="upper left", fontsize=6, framealpha=0.6, ncols=2)
    else:
        axes.text(0.5, 0.5, "nothing in this run", transform=axes.transAxes, ha="center", color="grey")


def _on(times: list[float], series: Series) -> list[float]:
    at = dict(zip(series[1], series[2], strict=True))
    return [0.0 if math.isnan(at.get(each, 0.0)) else at.get(each, 0.0) for each in times]


def _heatmap(axes: Any, panel: dict[str, Any], series: list[Series]) -> None:
    """Prometheus' buckets are cumulative; a cell is what lies between two of them."""
    edges = sorted(series, key=lambda each: float(each[0].replace("+Inf", "inf")))
    times = sorted({at for _, when, _ in edges for at in when})
    cumulative = [_on(times, each) for each in edges]
    lower = [[0.0] * len(times), *cumulative[:-1]]
    cells = [
        [max(0.0, a - b) for a, b in zip(upper, below, strict=True)]
        for upper, below in zip(cumulative, lower, strict=True)
    ]
    axes.imshow(cells, aspect="auto", origin="lower", cmap="magma", interpolation="nearest")
    axes.set_yticks(range(0, len(edges), 3), [edges[index][0] for index in range(0, len(edges), 3)])
    ticks = range(0, len(times), max(1, len(times) // 5))
    axes.set_xticks(list(ticks), [f"{times[index]:.0f}" for index in ticks])
    axes.grid(visible=False)


def main(path: Path, seconds: int) -> None:
    """One run and its picture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Few seats, so that documents are seen to wait.
        with embedded_server(folder, LIMRANK_WINDOW="16") as server:
            target = server.url.removeprefix("http://")
            with prometheus(folder, target, NAMESPACE, JOB) as source:
                source.wait_for("count_over_time(limrank_ready[1m]) > 2")
                start = time.time()
                flags = ("--scenario", "mixed", "--users", "8", "--run-time", f"{seconds}s", "--batch-passages", "100")
                run = locust(folder, server.url, *flags, *SHORT, timeout=seconds + 200)
                sys.stdout.write(f"{run.summary}\n")
                draw(Run(source, start + STEP, time.time()), path)


if __name__ == "__main__":
    mpl.use("Agg")
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 180)
