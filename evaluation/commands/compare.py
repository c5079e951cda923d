"""`limrank-eval compare`: two results on the same queries, with what their difference can bear."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_settings import CliPositionalArg

from evaluation.errors import BadData, BadSettings
from evaluation.result import by_topic, made, read_per_query, read_result, write_json
from evaluation.settings import Command
from evaluation.significance import paired


class CompareSettings(Command):
    """Compare two results query by query: difference, interval, paired tests."""

    system: CliPositionalArg[Path] = Field(description="folder of a result (it holds per_query.tsv)")
    other: CliPositionalArg[Path] = Field(description="folder of the result it is compared with")
    measure: str = Field(default="nDCG@10", description="column of both files")
    out: Path | None = Field(default=None, description="JSON file to write as well")


def act(settings: CompareSettings) -> str:
    """Compare; what came out, as a line for a person."""
    found = compare(settings.system, settings.other, settings.measure)
    if settings.out is not None:
        write_json(settings.out, found)
    return comparison_line(found)


def compare(system: Path, other: Path, measure: str) -> dict[str, Any]:
    """The comparison as JSON. Raises `BadData` where a folder is no result, `BadSettings` where no query is shared, or
    where they are results of two tasks, whose queries may have the same ids."""
    values = [by_topic(_column(folder, measure)) for folder in (system, other)]
    tasks = [read_result(folder)["task"] for folder in (system, other)]
    if tasks[0] != tasks[1]:
        raise BadSettings(
            f"{system} is a result on {tasks[0]}, and {other} on {tasks[1]}; compare results on one task."
        )
    result = paired(*values)
    if not result.queries:
        raise BadSettings(f"{system} and {other} have no query in common.")
    return {
        "kind": "comparison",
        "system": f"{system.name}",
        "other": f"{other.name}",
        "measure": measure,
        **asdict(result),
        "made": made(),
    }


def comparison_line(found: dict[str, Any]) -> str:
    """One line for the terminal."""
    change = found["difference"]
    return (
        f"{found['system']} minus {found['other']}, {found['measure']} on {found['queries']:,} queries: "
        f"{change['mean']:+.4f} [{change['low']:+.4f}, {change['high']:+.4f}], randomization test "
        f"p = {found['p_randomization']:.4f}, t-test p = {found['p_t']:.4f}; better on {found['better']:,}, worse on "
        f"{found['worse']:,}"
    )


def _column(folder: Path, measure: str) -> dict[str, float]:
    path = folder / "per_query.tsv"
    if not path.is_file():
        raise BadData(f"{folder} holds no per_query.tsv; name the folder of one result.")
    values = read_per_query(path)
    if measure not in values:
        raise BadSettings(f"{path} has no column '{measure}'; it has {', '.join(values)}.")
    return values[measure]
