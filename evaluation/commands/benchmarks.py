"""`limrank-eval benchmarks`: what there is, where its data comes from, and what has been published on it."""

from __future__ import annotations

from evaluation.benchmarks.gpqa import PUBLISHED as GPQA
from evaluation.benchmarks.names import BENCHMARKS
from evaluation.settings import Command


class BenchmarksSettings(Command):
    """List the benchmarks, their tasks, data and published figures."""


def act(settings: BenchmarksSettings) -> str:
    """The list, as lines for a person."""
    lines = []
    for one in BENCHMARKS.values():
        hubs = sorted(set(one.hub.values()) - {""})
        lines.append(f"{one.name}: {one.about}")
        lines.append(f"    tasks: {', '.join(one.tasks)}")
        lines.append(f"    data:  {', '.join(hubs) if hubs else 'a folder, named with --data'}")
        lines += [f"    {fact.system}: {fact.measure} {fact.value} ({fact.note})" for fact in one.published]
    lines.append("gpqa: answering with retrieved passages (`limrank-eval rag`; arXiv 2311.12022)")
    lines += [
        "    tasks: gpqa_diamond, gpqa_main, gpqa_extended",
        "    data:  Idavidrein/gpqa (its terms must be accepted)",
    ]
    lines.append(f"    {GPQA.system}: {GPQA.measure} {GPQA.value} ({GPQA.note})")
    return "\n".join(lines)
