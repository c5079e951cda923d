"""The progress of a run as text: units, replies by stage, tokens, cost. Another process may write to the folder."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from cli.output import table
from synth.errors import BadInput
from synth.estimate import StageEstimate
from synth.run.folder import is_busy, read_totals
from synth.run.journal import Status
from synth.run.journal_index import StageTotal
from synth.run.plan import Plan


def status(run: Path) -> str:
    """The progress in several lines. Raises `BadInput` when the folder is not a run folder."""
    totals = read_totals(run)
    plan = run / "plan.jsonl"
    lines = [_state(run)]
    if plan.exists():
        lines.append(f"planned: {Plan(plan).rows} units")
    accepted = _accepted(run)
    each = f", {totals.cost / accepted:.6f} for each accepted example" if accepted else ""
    lines += ["", stage_table(totals.lines()), "", f"cost so far: {totals.cost:.4f}{each}"]
    return "\n".join(lines)


def stage_table(totals: Sequence[StageTotal]) -> str:
    """Replies by stage and model; `accepted` is also given as a share of the settled ones."""
    header = ("stage", "model", "accepted", "rejected", "retried", "no reply", "prompt tokens", "reply tokens", "cost")
    grouped: dict[tuple[str, str], dict[Status, StageTotal]] = defaultdict(dict)
    for line in totals:
        grouped[line.stage, line.model][line.status] = line
    rows = [_stage_row(stage, model, by_status) for (stage, model), by_status in grouped.items()]
    return table([header, *rows])


def estimate_table(estimates: Sequence[StageEstimate]) -> str:
    """The output of a dry run."""
    header = ("stage", "model", "calls", "prompt tokens", "reply tokens", "cost", "at most", "from")
    rows = [
        (
            line.stage,
            line.model,
            str(line.calls),
            str(line.prompt_tokens),
            str(line.completion_tokens),
            f"{line.cost:.4f}",
            f"{line.most:.4f}",
            "this run's replies" if line.measured else "lengths",
        )
        for line in estimates
    ]
    cost, most = sum(line.cost for line in estimates), sum(line.most for line in estimates)
    total = ("all", "", str(sum(line.calls for line in estimates)), "", "", f"{cost:.4f}", f"{most:.4f}", "")
    return table([header, *rows, total])


def _state(run: Path) -> str:
    if is_busy(run):
        return f"{run}: running"
    counts = _done(run)
    if counts is None:
        return f"{run}: not finished, and no process works on it; run again to go on"
    return f"{run}: finished, {counts['judged']} pairs labelled, {counts['accepted']} accepted by majority"


def _accepted(run: Path) -> int:
    """The number of examples that a finished run accepted; 0 for an unfinished run, which has not counted them."""
    counts = _done(run)
    return counts["accepted"] if counts else 0


def _done(run: Path) -> dict[str, int] | None:
    """The content of `done.json`; None when the run is not finished."""
    path = run / "done.json"
    if not path.exists():
        return None
    try:
        counts = json.loads(path.read_text(encoding="utf-8"))
        return {name: int(counts[name]) for name in ("judged", "accepted")}
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{path}: not what a run writes; remove it and run again.") from None


def _stage_row(stage: str, model: str, by_status: dict[Status, StageTotal]) -> tuple[str, ...]:
    counts = {status: by_status[status].rows if status in by_status else 0 for status in Status}
    settled = counts[Status.ACCEPTED] + counts[Status.REJECTED]
    accepted = f"{counts[Status.ACCEPTED]} ({100 * counts[Status.ACCEPTED] / settled:.1f} %)" if settled else "0"
    lines = by_status.values()
    return (
        stage,
        model,
        accepted,
        str(counts[Status.REJECTED]),
        str(counts[Status.RETRY]),
        str(counts[Status.FAILED]),
        str(sum(line.prompt_tokens for line in lines)),
        str(sum(line.completion_tokens for line in lines)),
        f"{sum(line.cost for line in lines):.4f}",
    )
