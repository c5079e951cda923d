"""`limrank-eval report`: everything measured below a folder, as Markdown, HTML, plots and JSON."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from evaluation.commands.rank import slug
from evaluation.reports import plots
from evaluation.reports.collecting import Collected, collect
from evaluation.reports.page import render
from evaluation.reports.table import markdown
from evaluation.reports.tables import tables
from evaluation.result import made, write_json
from evaluation.settings import Command


class ReportSettings(Command):
    """Make report.md, report.html, report.json and plots from the results in a folder."""

    folder: CliPositionalArg[Path] = Field(description="folder of results; the report is written into it")
    title: str = Field(default="Evaluation", description="title of the report")


def act(settings: ReportSettings) -> str:
    """Write the report; where it is."""
    return write_report(settings.folder, settings.title)


def write_report(folder: Path, title: str) -> str:
    """Write the report into `folder`; a line that says where it is. Raises `BadData` where there are no results."""
    collected = collect(folder)
    shown, drawn = tables(collected), _plots(collected)
    (folder / "plots").mkdir(exist_ok=True)
    for told, svg in drawn.items():
        (folder / "plots" / f"{slug(told)}.svg").write_text(svg, encoding="utf-8")
    text = "\n".join([f"# {title}\n", *(markdown(table) for table in shown)])
    (folder / "report.md").write_text(text, encoding="utf-8")
    (folder / "report.html").write_text(render(title, shown, drawn), encoding="utf-8")
    write_json(folder / "report.json", {"title": title, "results": collected.found, "made": made()})
    return f"{folder / 'report.html'}, report.md, report.json and {len(drawn)} plots"


def _plots(collected: Collected) -> dict[str, str]:
    drawn = {}
    ranked = collected.of("ranking")
    if ranked:
        drawn["measures with intervals"] = plots.intervals(ranked)
    for one in ranked:
        gain, headline = one["against_first_stage"], next(iter(one["first_stage"]))
        if gain["better"] or gain["worse"]:  # a first stage beside itself has nothing to show
            title = f"{one['task']}, {one['scorer']}"
            drawn[f"change by query {one['folder']}"] = plots.by_query(gain["changes"], headline, title)
    for one in collected.of("calibration"):
        drawn[f"calibration {one['task']} {one['scorer']}"] = plots.reliability(one)
    for one in collected.of("injections"):
        drawn[f"injections {one['task']} {one['scorer']}"] = plots.shifts(one)
    return drawn
