"""Tables about rankings: measures, judgements, published figures, kinds of query, protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.benchmarks.gpqa import PUBLISHED as GPQA
from evaluation.benchmarks.names import BENCHMARKS, Benchmark, Published
from evaluation.reports.collecting import Collected
from evaluation.reports.lines import interval_text
from evaluation.reports.table import Table
from evaluation.results.ranking import Figures, RankingResult


def ranking(results: Sequence[RankingResult]) -> Table:
    """The measures with intervals, compared to the first stage."""
    note = (
        "95 % bootstrap intervals over queries; p of the two-sided paired randomization test against the first stage. "
        "Beside p-MRR, these stand for the task's first ranking measure."
    )
    columns = ("task", "queries", "candidates", "scorer", "measure", "value", "first stage", "best possible", "gain")
    return Table("Ranking", note, columns, tuple(_ranking_row(result) for result in results))


def _ranking_row(result: RankingResult) -> tuple[str, ...]:
    figures = result.figures
    gain = figures.against_first_stage
    return (
        result.task,
        _queries(figures),
        result.stage,
        result.scorer,
        figures.headline,
        interval_text(figures.measures[figures.headline]),
        f"{figures.first_stage[figures.ranking_headline]:.4f}",
        f"{figures.best:.4f}",
        f"{gain.difference.mean:+.4f} (p = {gain.p_randomization:.4f})",
    )


def _queries(figures: Figures) -> str:
    """How many queries were sampled out of how many, and for how many the first stage found nothing."""
    sampled = "" if figures.queries == figures.of_queries else f" of {figures.of_queries:,}"
    missed = f", {figures.without_candidates:,} without a candidate" if figures.without_candidates else ""
    return f"{figures.queries:,}{sampled}{missed}"


def published(collected: Collected) -> Table:
    """Published figures, each with ours or the reason why there is none."""
    rows = []
    for benchmark in BENCHMARKS.values():
        results = [result for result in collected.rankings if result.benchmark == benchmark.name]
        for fact in benchmark.published:
            ours = _ours(results, fact, benchmark) or _why_not(collected, benchmark.name)
            rows.append((benchmark.name, fact.measure, f"{fact.value:g}", fact.system, ours, fact.note))
    answered = [
        f"{result.scorer}: {100 * result.accuracy['reranked'].mean:.1f} ({result.questions} questions)"
        for result in collected.answers
    ]
    ours = "; ".join(answered) or _why_not(collected, "gpqa")
    rows.append(("gpqa", GPQA.measure, f"{GPQA.value:g}", GPQA.system, ours, GPQA.note))
    columns = ("benchmark", "measure", "published", "by", "ours, same unit", "before comparing")
    return Table("Beside published figures", "", columns, tuple(rows))


def _ours(results: Sequence[RankingResult], fact: Published, benchmark: Benchmark) -> str:
    tasks = fact.tasks or benchmark.tasks
    by_scorer: dict[str, list[RankingResult]] = {}
    for result in results:
        if fact.measure in result.figures.measures and (not fact.tasks or result.task.split("/")[-1] in fact.tasks):
            by_scorer.setdefault(f"{result.scorer}, {result.stage}", []).append(result)
    digits = 1 if fact.scale == 100.0 else 3
    parts = []
    for scorer, found in by_scorer.items():
        mean = sum(result.figures.measures[fact.measure].mean for result in found) / len(found)
        parts.append(f"{scorer}: {fact.scale * mean:.{digits}f}{_part_of(found, len(tasks))}")
    return "; ".join(parts)


def _part_of(results: Sequence[RankingResult], tasks: int) -> str:
    """The tasks and queries that the published mean includes but ours does not."""
    asked = sum(result.figures.queries for result in results)
    known = sum(result.figures.of_queries for result in results)
    missing = [f"mean of {len(results)} of {tasks} tasks"] if len(results) < tasks else []
    missing += [f"{asked:,} of {known:,} queries"] if asked < known else []
    return f" ({', '.join(missing)})" if missing else ""


def _why_not(collected: Collected, benchmark: str) -> str:
    reasons = {task.not_run for task in collected.not_run if task.benchmark == benchmark}
    return f"not run: {sorted(reasons)[0]}" if reasons else "not run: not asked for"


def readings(results: Sequence[RankingResult]) -> Table:
    """The same rankings under other judgements."""
    rows = []
    for result in results:
        for name, reading in result.figures.readings.items():
            headline = next(iter(reading.measures))
            plain, value = (interval_text(found[headline]) for found in (result.figures.measures, reading.measures))
            others = (f"{reading.first_stage:.4f}", f"{reading.best_possible:.4f}")
            rows.append((result.task, result.stage, result.scorer, name, plain, value, *others))
    columns = ("task", "candidates", "scorer", "reading", "plain", "this reading", "first stage", "best possible")
    return Table("Other readings of the judgements", "", columns, tuple(rows))


def groups(results: Sequence[RankingResult]) -> Table:
    """Means of the headline measure by kind of query."""
    rows = [
        (result.task, result.stage, result.scorer, name, f"{group.queries:,}", f"{group.mean:.4f}")
        for result in results
        for name, group in result.figures.groups.items()
    ]
    return Table("By kind of query", "", ("task", "candidates", "scorer", "kind", "queries", "mean"), tuple(rows))


def protocols(results: Sequence[RankingResult]) -> Table:
    """How each figure was obtained."""
    rows = dict.fromkeys(
        (
            result.task,
            result.stage,
            result.scorer,
            result.protocol.source,
            result.protocol.licence,
            result.protocol.query,
            result.protocol.passage,
            result.protocol.excluded,
            _asked(result.identity) + _ended(result.figures.endings),
        )
        for result in results
    )
    columns = ("task", "candidates", "scorer", "data", "licence", "query", "passage", "excluded ids", "asked with")
    return Table("Protocols", "", columns, tuple(rows))


def _asked(identity: Mapping[str, Any]) -> str:
    names = ("mode", "max_tokens_per_doc", "max_reasoning_tokens", "fingerprint", "weights")
    parts = [f"{name} {str(identity[name])[:16]}" for name in names if identity.get(name) is not None]
    return ", ".join(parts) or str(identity.get("kind", ""))


def _ended(endings: Mapping[str, int]) -> str:
    total = sum(endings.values())
    return "; traces: " + ", ".join(f"{100 * n / total:.0f} % {name}" for name, n in endings.items()) if total else ""
