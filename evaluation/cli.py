"""`limrank-eval`: its subcommands. An error is a sentence on standard error and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from contract.moved import moved
from evaluation.commands import benchmarks, calibrate, compare, injections, rag, rank, report
from evaluation.errors import EvaluationError, Interrupted
from evaluation.settings import Command, read_command


@dataclass(frozen=True, slots=True)
class Subcommand:
    """One command: its settings, and the function that runs it and returns its standard output."""

    name: str
    settings: type[Command]
    run: Callable[[Any], str]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the subcommand that the arguments name and return the exit code: 0, 1 for failure, 2 for bad settings or
    data, 4 for data that is not available, 130 for a signal."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if sentence := moved("limrank-eval", arguments):
        sys.stderr.write(f"limrank-eval: {sentence}\n")
        return 2
    by_name = {subcommand.name: subcommand for subcommand in SUBCOMMANDS}
    subcommand = by_name.get(arguments[0]) if arguments else None
    if subcommand is None:
        asked_for_help = bool(arguments) and arguments[0] in ("-h", "--help", "help")
        (sys.stdout if asked_for_help else sys.stderr).write(_usage() + "\n")
        return 0 if asked_for_help else 2
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads slow down the service's
    signal.signal(signal.SIGTERM, _stop)
    try:
        known = [known.settings for known in SUBCOMMANDS]
        settings = read_command(subcommand.settings, subcommand.name, arguments[1:], known)
        sys.stdout.write(subcommand.run(settings) + "\n")
    except EvaluationError as error:
        sys.stderr.write(f"limrank-eval {subcommand.name}: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"limrank-eval {subcommand.name}: stopped; the same command goes on from here.\n")
        return Interrupted.exit_code
    return 0


def _stop(number: int, frame: FrameType | None) -> None:
    raise Interrupted("stopped by a signal; the same command goes on from here.")


def _usage() -> str:
    lines = [
        f"  {subcommand.name:11} {(subcommand.settings.__doc__ or '').splitlines()[0]}" for subcommand in SUBCOMMANDS
    ]
    return "\n".join(["usage: limrank-eval COMMAND ... (COMMAND --help lists its settings)", "", *lines])


SUBCOMMANDS = (
    Subcommand("run", rank.RankSettings, rank.run),
    Subcommand("calibrate", calibrate.CalibrateSettings, calibrate.run),
    Subcommand("injections", injections.InjectionSettings, injections.run),
    Subcommand("rag", rag.RagSettings, rag.run),
    Subcommand("compare", compare.CompareSettings, compare.run),
    Subcommand("report", report.ReportSettings, report.run),
    Subcommand("benchmarks", benchmarks.BenchmarksSettings, benchmarks.run),
)


if __name__ == "__main__":
    sys.exit(main())
