"""The expected calls and cost of a run before its first call, from its plan and, if there is one, its journal."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from llm.base import estimate_tokens
from llm.endpoint import Endpoint
from synth.llm.stage import Forecast
from synth.pipeline import method_in
from synth.run.folder import read_totals
from synth.run.journal import Status
from synth.run.journal_index import StageTotal
from synth.run.method import Synthesis
from synth.settings import RunSettings
from synth.snapshot import SETTINGS, read_snapshot

ENOUGH = 20  # replies of a stage from which its averages are better than an estimate


@dataclass(frozen=True, slots=True)
class StageEstimate:
    """The remaining calls of one stage. `cost` is the expected cost, `most` the cost with every reply at its limit.

    `measured`: the token counts are averages of this folder's own journal, not estimates from lengths.
    """

    stage: str
    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: float
    most: float
    measured: bool


def estimate(settings: RunSettings) -> list[StageEstimate]:
    """One estimate per stage, assuming that every input is accepted. Makes no calls and leaves no new file."""
    if (settings.run / "plan.jsonl").exists():
        return _estimate(settings, settings.run)
    with tempfile.TemporaryDirectory(prefix="limrank-dry-run-") as folder:
        return _estimate(settings, Path(folder))


def _estimate(settings: RunSettings, folder: Path) -> list[StageEstimate]:
    synthesis = method_in(folder, settings, settings.templates)
    synthesis.plan()
    totals = read_totals(folder).lines() if (folder / "journal.jsonl").exists() else []
    forecasts = synthesis.forecasts()
    known = _still_known(settings, folder, synthesis, forecasts)
    return [
        _stage(forecast, settings.endpoint(forecast.role), totals, known=forecast.stage in known)
        for forecast in forecasts
    ]


def _still_known(
    settings: RunSettings, folder: Path, synthesis: Synthesis, forecasts: list[Forecast]
) -> frozenset[str]:
    """The stages whose journalled answers still apply. Another template or other sampling makes every question new, and
    so are the questions that later stages derive from its answers."""
    if not (folder / SETTINGS).exists():
        return frozenset()
    earlier, templates = read_snapshot(folder)
    before, now = method_in(folder, earlier, templates).templates(), synthesis.templates()
    known: set[str] = set()
    for forecast in forecasts:
        sampled = [options.endpoint(forecast.role).sampling() for options in (earlier, settings)]
        if before.get(forecast.stage) != now[forecast.stage] or sampled[0] != sampled[1]:
            break
        known.add(forecast.stage)
    return frozenset(known)


def _stage(forecast: Forecast, endpoint: Endpoint, totals: list[StageTotal], *, known: bool) -> StageEstimate:
    lines = [line for line in totals if line.stage == forecast.stage and line.model == endpoint.model]
    answered = [line for line in lines if line.status is not Status.FAILED]
    settled = sum(line.rows for line in answered if line.status is not Status.RETRY) if known else 0
    calls = max(0, forecast.calls - settled)
    replies = sum(line.rows for line in answered)
    measured = replies >= ENOUGH
    prompt = sum(line.prompt_tokens for line in answered) / replies if measured else estimate_tokens(forecast.example)
    completion = sum(line.completion_tokens for line in answered) / replies if measured else forecast.reply_tokens
    each_most = endpoint.cost(estimate_tokens(forecast.example), endpoint.max_tokens)
    return StageEstimate(
        stage=forecast.stage,
        model=endpoint.model,
        calls=calls,
        prompt_tokens=round(calls * prompt),
        completion_tokens=round(calls * completion),
        cost=endpoint.cost(round(calls * prompt), round(calls * completion)),
        most=calls * endpoint.replies * each_most,
        measured=measured,
    )
