"""`limrank tune DOCUMENTS --out FOLDER`: does the steps that are not done, and says what came of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.batch.progress import duration
from app.errors import AppError
from app.tune.expecting import expected, seconds_each
from app.tune.progress import Progress
from app.tune.queries.own import read_queries
from app.tune.results.report import Facts, commands, say_figures, system_name, write
from app.tune.results.systems import NEW, SHIPPED
from app.tune.settings import PROGRAM, Tune
from app.tune.steps import Steps
from app.tune.training import own_manifest
from app.tune.work import Step, Work
from cli.commands import Subcommand
from cli.errors import BadSettings, DiskFull
from contract.files import at_home, disk_is_full
from trainer.run.bases import problem_of

_FIRST = ("read", "choose")  # take seconds, and say how much there is to do


class NoHelp(AppError):
    """The new model is no better than what was there before."""

    exit_code = 3


def tune(settings: Tune) -> str:
    """Do all steps; the summary. Raises `NoHelp` where the model is written and does not help, other `CommandError`s
    where it is not."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    settings = settings.model_copy(update={"out": at_home(settings.out), "documents": at_home(settings.documents)})
    _check_paths(settings)
    own = read_queries(settings.queries)
    try:
        with Work(settings.out) as work:
            return _tune(_steps(settings)(settings, work, Progress(), own))
    except OSError as error:
        if disk_is_full(error):
            raise DiskFull(f"{settings.out}: no space is left; free some, and the same command goes on.") from None
        what = f"{error.filename} cannot be used ({error.strerror})" if error.filename else str(error)
        raise AppError(f"{what}; the same command goes on.") from None


def _check_paths(settings: Tune) -> None:
    """Raises `BadSettings`, before anything is read or written."""
    documents, out = _place(settings.documents, "the documents"), _place(settings.out, "--out")
    try:
        str(out).encode()
    except UnicodeEncodeError:
        raise BadSettings(f"--out {settings.out} is no UTF-8, as the files in it are; name another folder.") from None
    if documents.is_dir() and out.is_relative_to(documents):
        raise BadSettings(f"--out {settings.out} lies in {settings.documents}, which is read; name a folder elsewhere.")
    if settings.reasoning and (problem := problem_of(settings.reasoning_base)):
        raise BadSettings(problem.replace("--base", "--reasoning-base"))


def _place(path: Path, what: str) -> Path:
    """Where the path leads. Raises `BadSettings` where it leads nowhere: a loop of links, a name that is too long."""
    try:
        path.exists()
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadSettings(f"{path} cannot be used for {what} ({why}); name another path.") from None


def _steps(settings: Tune) -> type[Steps]:
    if settings.llm is None:
        return Steps
    from app.tune.written_steps import WrittenSteps

    return WrittenSteps


def _tune(steps: Steps) -> str:
    told: dict[str, Mapping[str, Any]] = {}
    listed = steps.in_order()
    for step in listed:
        if step.name not in _FIRST and not steps.progress.expected:
            _expect(steps, [each for each in listed if each.name not in told])
        told[step.name] = _do(steps, step)
    return _told(steps, told)


def _do(steps: Steps, step: Step) -> Mapping[str, Any]:
    """What the step says of itself, done now or before."""
    before = steps.work.done(step)
    if before is not None:
        steps.progress.skipped(step.name, _line(before))
        return before
    steps.progress.begin(step.name)
    told = step.run()
    steps.work.finish(step, told, steps.progress.end(_line(told)))
    return steps.work.told(step.name)


def _expect(steps: Steps, left: list[Step]) -> None:
    """Say how long it will take, before anything that takes long begins."""
    if all(steps.work.done(step) is not None for step in left):
        return
    passages = steps.work.told("read")["passages"]
    each = seconds_each(steps.read_passages(), steps.bi_encoder)
    seconds = expected(steps.settings, steps.plan, each, passages, steps.settings.llm is not None)
    missing = {step.name: seconds.get(step.name, 1.0) for step in left if steps.work.done(step) is None}
    steps.progress.expect(missing)
    calls = ", and the calls to the language model" if "queries" in missing and steps.settings.llm else ""
    steps.progress.say(
        f"{'':12}about {duration(sum(missing.values()))} for {passages:,} passages on this machine as busy as it is "
        f"now{calls}; the same command goes on after a stop"
    )


def _told(steps: Steps, told: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the report; the last lines of a run. Raises `NoHelp`."""
    settings, work = steps.settings, steps.work
    figures = work.json("measured.json")
    verdict, helps = told["evaluate"]["verdict"], bool(told["evaluate"]["helps"])
    cost = steps.cost()
    facts = Facts(
        settings=settings,
        figures=figures,
        extremes=work.json("extremes.json")["cases"],
        helps=helps,
        verdict=verdict,
        told=told,
        seconds={name: value for name, value in work.seconds().items() if name in told},
        cost=cost,
        licences=own_manifest(settings.out / "model").licences,
        notes=work.json("notes.json")["notes"],
    )
    write(settings.out / "report.html", facts)
    for note in facts.notes:
        steps.progress.say(note)
    lines = [
        f"{figures['measure']} on {figures['queries']} held-out queries:",
        *say_figures(figures, settings),
        verdict,
    ]
    spent = "" if cost is None else f" {cost:,.4f} spent."
    lines.append(f"Written: {settings.out / 'model'}, {settings.out / 'report.html'}.{spent}")
    if not helps:
        raise NoHelp(
            "\n".join([*lines, f"Serve {system_name(SHIPPED, settings)} or rank by the better first stage instead."])
        )
    lines.append(f"Serve it: {commands(settings, helps, figures['weights'][NEW])[0][1]}")
    return "\n".join(lines)


def _line(told: Mapping[str, Any]) -> str:
    """What a step says of itself, in a line."""
    parts = []
    for name, value in told.items():
        if isinstance(value, bool) or name in ("recipe", "verdict", "plan", "licences"):
            continue
        if isinstance(value, Mapping):
            inner = ", ".join(f"{count:,} {key}" for key, count in value.items())
            parts.append(f"{name}: {inner}" if inner else f"{name}: none")
        else:
            parts.append(f"{value:,} {name.replace('_', ' ')}" if isinstance(value, int) else f"{name} {value}")
    return "; ".join(parts) or "done"


__all__ = ["COMMAND", "PROGRAM"]

COMMAND = Subcommand("tune", Tune, tune)
