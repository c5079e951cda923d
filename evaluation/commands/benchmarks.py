"""`limrank-eval benchmarks`: the benchmarks, where their data comes from, and published figures."""

from __future__ import annotations

from evaluation.benchmarks.gpqa import PUBLISHED as GPQA
from evaluation.benchmarks.names import BENCHMARKS
from evaluation.settings import Command


class BenchmarksSettings(Command):
    """List the benchmarks, their tasks, data and published figures."""


def run(settings: BenchmarksSettings) -> str:
    """Run the command and return the list."""
    lines = []
    for benchmark in BENCHMARKS.values():
        hubs = sorted(set(benchmark.hub.values()) - {""})
        lines.append(f"{benchmark.name}: {benchmark.about}")
        lines.append(f"    tasks: {', '.join(benchmark.tasks)}")
        lines.append(f"    data:  {', '.join(hubs) if hubs else 'a folder, named with --data'}")
        lines += [f"    {fact.system}: {fact.measure} {fact.value} ({fact.note})" for fact in benchmark.published]
    lines.append("gpqa: answering with retrieved passages (`limrank-eval rag`; arXiv 2311.12022)")
    lines += [
        "    tasks: gpqa_diamond, gpqa_main, gpqa_extended",
        "    data:  Idavidrein/gpqa (its terms must be accepted)",
    ]
    lines.append(f"    {GPQA.system}: {GPQA.measure} {GPQA.value} ({GPQA.note})")
    return "\n".join(lines)
