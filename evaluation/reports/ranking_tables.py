"""The tables on rankings: measures, readings, published figures, kinds of query, protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.benchmarks.gpqa import PUBLISHED as GPQA
from evaluation.benchmarks.names import BENCHMARKS, Benchmark, Published
from evaluation.reports.collecting import Collected
from evaluation.reports.lines import interval_text
from evaluation.reports.table import Table


def ranking(results: Sequence[Mapping[str, Any]]) -> Table:
    """The measures, with intervals and against the first stage."""
    rows = []
    for one in results:
        headline = next(iter(one["measures"]))
        against, change = one["against_first_stage"], one["against_first_stage"]["difference"]
        rows.append(
            (
                one["task"],
                f"{one['queries']:,}" + ("" if one["queries"] == one["of_queries"] else f" of {one['of_queries']:,}"),
                _stage(one),
                one["scorer"],
                headline,
                interval_text(one["measures"][headline]),
                f"{next(iter(one['first_stage'].values())):.4f}",
                f"{next(iter(one['best_possible'].values())):.4f}",
                f"{change['mean']:+.4f} (p = {against['p_randomization']:.4f})",
            )
        )
    note = (
        "95 % bootstrap intervals over queries; p of the two-sided paired randomization test against the first stage. "
        "Beside p-MRR, these stand for the task's first ranking measure."
    )
    columns = ("task", "queries", "candidates", "scorer", "measure", "value", "first stage", "best possible", "gain")
    return Table("Ranking", note, columns, tuple(rows))


def published(collected: Collected) -> Table:
    """What others report, beside ours or beside why there is none."""
    rows = []
    for benchmark in BENCHMARKS.values():
        results = [one for one in collected.of("ranking") if one["benchmark"] == benchmark.name]
        for fact in benchmark.published:
            ours = _ours(results, fact, benchmark) or _why_not(collected, benchmark.name)
            rows.append((benchmark.name, fact.measure, f"{fact.value:g}", fact.system, ours, fact.note))
    answered = [
        f"{one['scorer']}: {100 * one['accuracy']['reranked']['mean']:.1f} ({one['questions']} questions)"
        for one in collected.of("rag")
    ]
    ours = "; ".join(answered) or _why_not(collected, "gpqa")
    rows.append(("gpqa", GPQA.measure, f"{GPQA.value:g}", GPQA.system, ours, GPQA.note))
    columns = ("benchmark", "measure", "published", "by", "ours, same unit", "before comparing")
    return Table("Beside published figures", "", columns, tuple(rows))


def _ours(results: Sequence[Mapping[str, Any]], fact: Published, benchmark: Benchmark) -> str:
    tasks = fact.tasks or benchmark.tasks
    by_scorer: dict[str, list[Mapping[str, Any]]] = {}
    for one in results:
        if fact.measure in one["measures"] and (not fact.tasks or one["task"].split("/")[-1] in fact.tasks):
            by_scorer.setdefault(f"{one['scorer']}, {_stage(one)}", []).append(one)
    digits = 1 if fact.scale == 100.0 else 3
    parts = []
    for scorer, found in by_scorer.items():
        mean = sum(one["measures"][fact.measure]["mean"] for one in found) / len(found)
        parts.append(f"{scorer}: {fact.scale * mean:.{digits}f}{_part_of(found, len(tasks))}")
    return "; ".join(parts)


def _part_of(results: Sequence[Mapping[str, Any]], tasks: int) -> str:
    """What a figure leaves out of what the published one is the mean of."""
    asked, known = (sum(one[name] for one in results) for name in ("queries", "of_queries"))
    missing = [f"mean of {len(results)} of {tasks} tasks"] if len(results) < tasks else []
    missing += [f"{asked:,} of {known:,} queries"] if asked < known else []
    return f" ({', '.join(missing)})" if missing else ""


def _why_not(collected: Collected, benchmark: str) -> str:
    reasons = {one["not_run"] for one in collected.of("not_run") if one["benchmark"] == benchmark}
    return f"not run: {sorted(reasons)[0]}" if reasons else "not run: not asked for"


def readings(results: Sequence[Mapping[str, Any]]) -> Table:
    """The same rankings under other judgements."""
    rows = []
    for one in results:
        for name, reading in one["readings"].items():
            headline = next(iter(reading["measures"]))
            value = interval_text(reading["measures"][headline])
            plain = interval_text(one["measures"][headline])
            best = f"{reading['best_possible']:.4f}"
            rows.append(
                (one["task"], _stage(one), one["scorer"], name, plain, value, f"{reading['first_stage']:.4f}", best)
            )
    columns = ("task", "candidates", "scorer", "reading", "plain", "this reading", "first stage", "best possible")
    return Table("Other readings of the judgements", "", columns, tuple(rows))


def groups(results: Sequence[Mapping[str, Any]]) -> Table:
    """Means of the headline measure by kind of query."""
    rows = [
        (one["task"], _stage(one), one["scorer"], name, f"{group['queries']:,}", f"{group['mean']:.4f}")
        for one in results
        for name, group in one["groups"].items()
    ]
    return Table("By kind of query", "", ("task", "candidates", "scorer", "kind", "queries", "mean"), tuple(rows))


def protocols(results: Sequence[Mapping[str, Any]]) -> Table:
    """How each figure was made."""
    rows = dict.fromkeys(
        (
            one["task"],
            _stage(one),
            one["scorer"],
            *(str(one["protocol"][key]) for key in ("source", "licence", "query", "passage", "excluded")),
            _asked(one["identity"]) + _ended(one["endings"]),
        )
        for one in results
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


def _stage(result: Mapping[str, Any]) -> str:
    return f"{result['protocol']['first_stage']} top-{result['protocol']['depth']}"
