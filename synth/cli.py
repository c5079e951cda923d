"""`limrank-synth` and its subcommands. An error is printed as a sentence on standard error, with an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from cli import commands
from cli.commands import Subcommand
from cli.moved import moved
from cli.output import say
from synth.commands import audit, distil, export, import_data, verify
from synth.estimate import estimate
from synth.pipeline import method_in, run
from synth.run.folder import read_totals
from synth.run.journal import Status
from synth.run.journal_index import Totals
from synth.run.usable import check_usable
from synth.settings import PROGRAM, Command, RunSettings
from synth.status import estimate_table, stage_table, status


class StatusSettings(Command):
    """Show the progress of a run, also while it works."""

    run: CliPositionalArg[Path] = Field(description="folder of the run")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the subcommand that the arguments name. Returns the exit code: 0, 1 for failure, 2 for bad settings or
    input, 3 for a spent budget, 130 for a signal."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if sentence := moved("limrank-synth", arguments, import_data.KINDS):
        sys.stderr.write(f"limrank-synth: {sentence}\n")
        return 2
    try:
        return commands.main(PROGRAM, COMMANDS, arguments)
    except OSError as error:  # no message of its own: a folder in place of a file, missing permissions, ...
        reason = f"{error.filename} cannot be used ({error.strerror})" if error.filename else str(error)
        sys.stderr.write(f"limrank-synth {arguments[0]}: {reason}; give a path that can be read and written.\n")
        return 1


def _run(settings: RunSettings) -> str | None:
    if settings.dry_run:
        return estimate_table(estimate(settings))
    accepted = run(settings, sys.stdout)
    totals = read_totals(settings.run)
    each = f", {totals.cost / accepted:.6f} for each" if accepted else ""
    summary = f"{stage_table(totals.lines())}\n{accepted} examples accepted, {totals.cost:.4f} spent{each}"
    if any(line.stage not in _accepted(totals) for line in totals.lines()):
        say(summary)
        forecasts = method_in(settings.run, settings, settings.templates).forecasts()
        roles = {forecast.stage: forecast.role for forecast in forecasts}
        check_usable(settings.run / "journal.jsonl", roles, settings.endpoints)
        return None
    return summary


def _accepted(totals: Totals) -> set[str]:
    """The stages with at least one usable reply."""
    return {line.stage for line in totals.lines() if line.status is Status.ACCEPTED}


def _status(settings: StatusSettings) -> str:
    return status(settings.run)


COMMANDS = (
    Subcommand("run", RunSettings, _run),
    Subcommand("status", StatusSettings, _status),
    Subcommand("import", import_data.ImportSettings, import_data.run),
    Subcommand("distil", distil.DistilSettings, distil.run),
    Subcommand("verify", verify.VerifySettings, verify.run),
    Subcommand("audit", audit.AuditSettings, audit.run),
    Subcommand("export", export.ExportSettings, export.run),
)
