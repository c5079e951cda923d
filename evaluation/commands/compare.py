"""`limrank-eval compare`: the difference between two results on the same queries, with interval and tests."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from evaluation.benchmarks.names import topic_of
from evaluation.errors import BadData, BadSettings
from evaluation.reports.lines import comparison_line
from evaluation.results.assess import by_topic
from evaluation.results.comparison import Comparison
from evaluation.results.files import made, read_per_query, write_json
from evaluation.results.ranking import read_result
from evaluation.settings import Command
from evaluation.significance import paired


class CompareSettings(Command):
    """Compare two results query by query: difference, interval, paired tests."""

    system: CliPositionalArg[Path] = Field(description="folder of a result (it holds per_query.tsv)")
    other: CliPositionalArg[Path] = Field(description="folder of the result it is compared with")
    measure: str = Field(default="nDCG@10", description="column of both files")
    out: Path | None = Field(default=None, description="JSON file to write as well")


def run(settings: CompareSettings) -> str:
    """Run the command and return a summary."""
    comparison = compare(settings.system, settings.other, settings.measure)
    if settings.out is not None:
        write_json(settings.out, comparison.to_json())
    return comparison_line(comparison)


def compare(system: Path, other: Path, measure: str) -> Comparison:
    """Compares the results in two folders. Raises `BadData` when a folder holds no result, `BadSettings` when no query
    is shared or the results are of different tasks, which may use the same query ids."""
    columns = [_column(folder, measure) for folder in (system, other)]
    one, two = (read_result(folder) for folder in (system, other))
    if one.task != two.task:
        raise BadSettings(
            f"{system} is a result on {one.task}, and {other} on {two.task}; compare results on one task."
        )
    found = paired(*(by_topic(column, topic_of(one.benchmark)) for column in columns))
    if not found.queries:
        raise BadSettings(f"{system} and {other} have no query in common.")
    return Comparison(system=system.name, other=other.name, measure=measure, found=found, made=made())


def _column(folder: Path, measure: str) -> dict[str, float]:
    path = folder / "per_query.tsv"
    if not path.is_file():
        raise BadData(f"{folder} holds no per_query.tsv; name the folder of one result.")
    values = read_per_query(path)
    if measure not in values:
        raise BadSettings(f"{path} has no column '{measure}'; it has {', '.join(values)}.")
    return values[measure]
