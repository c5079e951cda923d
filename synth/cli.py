"""`limrank-synth`: one command for each act. An error is a sentence on the standard error and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_settings import CliPositionalArg

from contract.moved import moved
from synth.command_settings import Command, read_command
from synth.commands import audit, distil, export, import_data, verify
from synth.errors import SynthError
from synth.estimate import estimate
from synth.pipeline import run
from synth.run.folder import read_totals
from synth.settings import RunSettings
from synth.status import estimate_table, stage_table, status


class StatusSettings(Command):
    """Say where a run stands, also while it runs."""

    run: CliPositionalArg[Path] = Field(description="folder of the run")


@dataclass(frozen=True, slots=True)
class Verb:
    """One command: its settings and what is done with them. The act says what it did on the standard output."""

    name: str
    settings: type[Command]
    act: Callable[[Any], None]


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, 1 for failure, 2 for bad settings or input, 3 for a spent budget, 130 for a signal."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if sentence := moved("limrank-synth", arguments, import_data.KINDS):
        sys.stderr.write(f"limrank-synth: {sentence}\n")
        return 2
    verb = next((verb for verb in VERBS if arguments and verb.name == arguments[0]), None)
    if verb is None:
        asked_for_help = bool(arguments) and arguments[0] in ("-h", "--help", "help")
        (sys.stdout if asked_for_help else sys.stderr).write(_usage() + "\n")
        return 0 if asked_for_help else 2
    try:
        verb.act(read_command(verb.settings, verb.name, arguments[1:], [verb.settings for verb in VERBS]))
    except SynthError as error:
        sys.stderr.write(f"limrank-synth {verb.name}: {error}\n")
        return error.exit_code
    except OSError as error:  # what has no sentence of its own: a folder that is a file, no right to write, ...
        what = f"{error.filename} cannot be used ({error.strerror})" if error.filename else str(error)
        sys.stderr.write(f"limrank-synth {verb.name}: {what}; give a path that can be read and written.\n")
        return 1
    return 0


def _run(settings: RunSettings) -> None:
    if settings.dry_run:
        _say(estimate_table(estimate(settings)))
        return
    accepted = run(settings, sys.stdout)
    totals = read_totals(settings.run)
    _say(stage_table(totals.lines()))
    _say(f"{accepted} examples accepted, {totals.cost:.4f} spent" + _each(totals.cost, accepted))


def _each(cost: float, accepted: int) -> str:
    return f", {cost / accepted:.6f} for each" if accepted else ""


def _status(settings: StatusSettings) -> None:
    _say(status(settings.run))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _usage() -> str:
    lines = [f"  {verb.name:8} {(verb.settings.__doc__ or '').splitlines()[0]}" for verb in VERBS]
    return "\n".join(["usage: limrank-synth COMMAND ... (COMMAND --help lists its settings)", "", *lines])


VERBS = (
    Verb("run", RunSettings, _run),
    Verb("status", StatusSettings, _status),
    Verb("import", import_data.ImportSettings, lambda settings: _say(import_data.act(settings))),
    Verb("distil", distil.DistilSettings, lambda settings: _say(distil.act(settings))),
    Verb("verify", verify.VerifySettings, lambda settings: _say(verify.act(settings))),
    Verb("audit", audit.AuditSettings, lambda settings: _say(audit.act(settings))),
    Verb("export", export.ExportSettings, lambda settings: _say(export.act(settings))),
)
