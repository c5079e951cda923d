"""`limrank-eval report`: all results below a folder, as Markdown, HTML, plots and JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from evaluation.commands.rank import slug
from evaluation.reports.collecting import Collected, collect
from evaluation.reports.page import render
from evaluation.reports.table import markdown
from evaluation.reports.tables import tables
from evaluation.results.files import made, write_json
from evaluation.settings import Command


class ReportSettings(Command):
    """Make report.md, report.html, report.json and plots from the results in a folder."""

    folder: CliPositionalArg[Path] = Field(description="folder of results; the report is written into it")
    title: str = Field(default="Evaluation", description="title of the report")


def run(settings: ReportSettings) -> str:
    """Runs the command and returns the location of the report."""
    return write_report(settings.folder, settings.title)


def write_report(folder: Path, title: str) -> str:
    """Writes the report into `folder` and returns a line with its location. Raises `BadData` when there are no
    results."""
    collected = collect(folder)
    shown, drawn = tables(collected), _plots(collected)
    (folder / "plots").mkdir(exist_ok=True)
    for name, svg in drawn.items():
        (folder / "plots" / f"{slug(name)}.svg").write_text(svg, encoding="utf-8")
    text = "\n".join([f"# {title}\n", *(markdown(table) for table in shown)])
    (folder / "report.md").write_text(text, encoding="utf-8")
    (folder / "report.html").write_text(render(title, shown, drawn), encoding="utf-8")
    write_json(folder / "report.json", {"title": title, "results": collected.as_json, "made": asdict(made())})
    return f"{folder / 'report.html'}, report.md, report.json and {len(drawn)} plots"


def _plots(collected: Collected) -> dict[str, str]:
    """Maps the description of a plot to its SVG."""
    from evaluation.reports import plots  # imported here: matplotlib takes a second to import

    drawn = {}
    if collected.by_folder:
        drawn["measures with intervals"] = plots.intervals(collected.rankings)
    for folder, ranking in collected.by_folder.items():
        figures = ranking.figures
        gain = figures.against_first_stage
        if gain.better or gain.worse:  # a first stage compared to itself has no differences to plot
            title = f"{ranking.task}, {ranking.scorer}"
            drawn[f"change by query {folder}"] = plots.by_query(gain.changes, figures.ranking_headline, title)
    for calibration in collected.calibrations:
        drawn[f"calibration {calibration.task} {calibration.scorer}"] = plots.reliability(calibration)
    for adaptive in collected.adaptive:
        drawn[f"adaptive {adaptive.task} {adaptive.scorer}"] = plots.tokens_curve(adaptive)
    for injections in collected.injections:
        drawn[f"injections {injections.task} {injections.scorer}"] = plots.shifts(injections)
    return drawn
