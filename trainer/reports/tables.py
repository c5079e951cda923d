"""Results as tables of texts: what the Markdown and the HTML report both show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.benchmarks.gpqa import PUBLISHED as GPQA
from trainer.benchmarks.names import BENCHMARKS, Published
from trainer.reports.collecting import Collected
from trainer.reports.lines import interval_text


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a title, a line on how to read it, and rows as long as `columns`."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(collected: Collected) -> list[Table]:
    """The tables that have rows, in the order they are read."""
    made = [
        _targets(collected.of("targets")),
        _ranking(collected.of("ranking")),
        _published(collected),
        _readings(collected.of("ranking")),
        _comparisons(collected.of("comparison")),
        _calibration(collected.of("calibration")),
        _traces(collected.of("traces")),
        _injections(collected.of("injections")),
        _rag(collected.of("rag")),
        _groups(collected.of("ranking")),
        _not_run(collected.of("not_run")),
        _protocols(collected.of("ranking")),
    ]
    return [one for one in made if one.rows]


def markdown(table: Table) -> str:
    """A table in Markdown, under its title."""
    lines = [f"## {table.title}", "", table.note, ""] if table.note else [f"## {table.title}", ""]
    lines += [_row(table.columns), _row("---" for _ in table.columns), *map(_row, table.rows)]
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _targets(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (one["target"], one["bound"], one["measured"], {True: "met", False: "missed", None: "not measured"}[one["met"]])
        for targets in found
        for one in targets["targets"]
    ]
    return Table("Targets", "", ("target", "bound", "measured", ""), tuple(rows))


def _ranking(results: Sequence[Mapping[str, Any]]) -> Table:
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


def _published(collected: Collected) -> Table:
    rows = []
    for benchmark in BENCHMARKS.values():
        results = [one for one in collected.of("ranking") if one["benchmark"] == benchmark.name]
        for fact in benchmark.published:
            ours = _ours(results, fact, len(benchmark.tasks)) or _why_not(collected, benchmark.name)
            rows.append((benchmark.name, fact.measure, f"{fact.value:g}", fact.system, ours, fact.note))
    answered = [
        f"{one['scorer']}: {100 * one['accuracy']['reranked']['mean']:.1f} ({one['questions']} questions)"
        for one in collected.of("rag")
    ]
    ours = "; ".join(answered) or _why_not(collected, "gpqa")
    rows.append(("gpqa", GPQA.measure, f"{GPQA.value:g}", GPQA.system, ours, GPQA.note))
    columns = ("benchmark", "measure", "published", "by", "ours, same unit", "before comparing")
    return Table("Beside published figures", "", columns, tuple(rows))


def _ours(results: Sequence[Mapping[str, Any]], fact: Published, tasks: int) -> str:
    by_scorer: dict[str, dict[str, float]] = {}
    for one in results:
        if fact.measure in one["measures"]:
            by_scorer.setdefault(f"{one['scorer']}, {_stage(one)}", {})[one["task"]] = one["measures"][fact.measure][
                "mean"
            ]
    digits = 1 if fact.scale == 100.0 else 3
    parts = []
    for scorer, found in by_scorer.items():
        of = f" (mean of {len(found)} of {tasks} tasks)" if fact.scale == 100.0 and len(found) < tasks else ""
        parts.append(f"{scorer}: {fact.scale * sum(found.values()) / len(found):.{digits}f}{of}")
    return "; ".join(parts)


def _why_not(collected: Collected, benchmark: str) -> str:
    reasons = {one["not_run"] for one in collected.of("not_run") if one["benchmark"] == benchmark}
    return f"not run: {sorted(reasons)[0]}" if reasons else "not run: not asked for"


def _readings(results: Sequence[Mapping[str, Any]]) -> Table:
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


def _comparisons(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            one["system"],
            one["other"],
            one["measure"],
            f"{one['queries']:,}",
            f"{one['difference']['mean']:+.4f} [{one['difference']['low']:+.4f}, {one['difference']['high']:+.4f}]",
            f"{one['p_randomization']:.4f}",
            f"{one['p_t']:.4f}",
        )
        for one in found
    ]
    columns = ("system", "minus", "measure", "queries", "difference", "p, randomization", "p, t-test")
    return Table("Paired comparisons", "", columns, tuple(rows))


def _calibration(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for one in found:
        fitted = one["temperature"]
        after = "" if fitted is None else f"{fitted['error']:.4f} at {fitted['value']:.3f}, from {fitted['on']}"
        shown = (f"{one['pairs']:,}", f"{one['error']:.4f}", after, f"{one['brier']:.4f}", f"{one['log_loss']:.4f}")
        rows.append((one["task"], one["scorer"], *shown))
    columns = ("pairs from", "scorer", "pairs", "expected error", "with temperature", "Brier", "log loss")
    return Table("Calibration", "15 bins of equally many pairs; as served.", columns, tuple(rows))


def _traces(found: Sequence[Mapping[str, Any]]) -> Table:
    keys = ("query_right", "passage_right", "all_right", "agrees", "verdict_right")
    rows = [
        (one["task"], one["scorer"], f"{one['pairs']:,}", *(f"{100 * one[key]:.1f} %" for key in keys)) for one in found
    ]
    note = "Focus and question type, as the trace names them, against the known labels."
    columns = ("pairs from", "scorer", "pairs", "query right", "passage right", "both", "wording = verdict", "verdict")
    return Table("Traces", note, columns, tuple(rows))


def _injections(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            one["task"],
            one["scorer"],
            f"{one['protocol']['first_stage']} top-{one['protocol']['depth']}",
            f"{one['in_top']} of {one['probes']}",
            f"{one['clean_in_top']} of {one['probes']}",
            f"{one['mean_shift']:+.2f}",
        )
        for one in found
    ]
    columns = ("task", "scorer", "ranked among", "in the top 3", "without the sentence", "mean change of log-odds")
    return Table("Injected sentences", "Irrelevant passages that ask to be called relevant.", columns, tuple(rows))


def _rag(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            one["task"],
            one["scorer"],
            one["protocol"]["answered_by"],
            str(one["questions"]),
            *(f"{100 * one['accuracy'][arm]['mean']:.1f} %" for arm in ("no passages", "first stage", "reranked")),
            str(sum(one["unreadable"].values())),
        )
        for one in found
    ]
    columns = ("task", "scorer", "answered by", "questions", "no passages", "first stage", "reranked", "unreadable")
    return Table("Answers", "", columns, tuple(rows))


def _groups(results: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (one["task"], _stage(one), one["scorer"], name, f"{group['queries']:,}", f"{group['mean']:.4f}")
        for one in results
        for name, group in one["groups"].items()
    ]
    return Table("By kind of query", "", ("task", "candidates", "scorer", "kind", "queries", "mean"), tuple(rows))


def _not_run(found: Sequence[Mapping[str, Any]]) -> Table:
    return Table("Not run", "", ("task", "why"), tuple((one["task"], one["not_run"]) for one in found))


def _protocols(results: Sequence[Mapping[str, Any]]) -> Table:
    rows = dict.fromkeys(
        (
            one["task"],
            _stage(one),
            one["scorer"],
            *(str(one["protocol"][key]) for key in ("source", "licence", "query", "passage", "excluded")),
            _asked(one["identity"]),
        )
        for one in results
    )
    columns = ("task", "candidates", "scorer", "data", "licence", "query", "passage", "excluded ids", "asked with")
    return Table("Protocols", "", columns, tuple(rows))


def _asked(identity: Mapping[str, Any]) -> str:
    names = ("mode", "max_tokens_per_doc", "max_reasoning_tokens", "fingerprint", "weights")
    parts = [f"{name} {str(identity[name])[:16]}" for name in names if identity.get(name) is not None]
    return ", ".join(parts) or str(identity.get("kind", ""))


def _stage(result: Mapping[str, Any]) -> str:
    return f"{result['protocol']['first_stage']} top-{result['protocol']['depth']}"
