"""`limrank-eval`: one command for each act. An error is a sentence on the standard error and an exit code."""

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
class Verb:
    """One command: its settings and what is done with them; the act returns what is said on the standard output."""

    name: str
    settings: type[Command]
    act: Callable[[Any], str]


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, 1 for failure, 2 for bad settings or data, 4 for data that cannot be had, 130 for a signal."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if sentence := moved("limrank-eval", arguments):
        sys.stderr.write(f"limrank-eval: {sentence}\n")
        return 2
    verb = next((verb for verb in VERBS if arguments and verb.name == arguments[0]), None)
    if verb is None:
        asked_for_help = bool(arguments) and arguments[0] in ("-h", "--help", "help")
        (sys.stdout if asked_for_help else sys.stderr).write(_usage() + "\n")
        return 0 if asked_for_help else 2
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin slow down those of the service
    signal.signal(signal.SIGTERM, _stop)
    try:
        settings = read_command(verb.settings, verb.name, arguments[1:], [verb.settings for verb in VERBS])
        sys.stdout.write(verb.act(settings) + "\n")
    except EvaluationError as error:
        sys.stderr.write(f"limrank-eval {verb.name}: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"limrank-eval {verb.name}: stopped; the same command goes on from here.\n")
        return Interrupted.exit_code
    return 0


def _stop(number: int, frame: FrameType | None) -> None:
    raise Interrupted("stopped by a signal; the same command goes on from here.")


def _usage() -> str:
    lines = [f"  {verb.name:11} {(verb.settings.__doc__ or '').splitlines()[0]}" for verb in VERBS]
    return "\n".join(["usage: limrank-eval COMMAND ... (COMMAND --help lists its settings)", "", *lines])


VERBS = (
    Verb("run", rank.RankSettings, rank.act),
    Verb("calibrate", calibrate.CalibrateSettings, calibrate.act),
    Verb("injections", injections.InjectionSettings, injections.act),
    Verb("rag", rag.RagSettings, rag.act),
    Verb("compare", compare.CompareSettings, compare.act),
    Verb("report", report.ReportSettings, report.act),
    Verb("benchmarks", benchmarks.BenchmarksSettings, benchmarks.act),
)


if __name__ == "__main__":
    sys.exit(main())
