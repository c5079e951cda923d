"""`limrank-eval` and its subcommands. An error is printed as a sentence on standard error, with an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from cli import commands
from cli.commands import Subcommand
from cli.moved import moved
from evaluation.commands import (
    adaptive,
    adaptive_runs,
    benchmarks,
    calibrate,
    cascade,
    compare,
    fuse,
    injections,
    rag,
    rank,
    report,
)
from evaluation.errors import Interrupted
from evaluation.settings import PROGRAM


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the subcommand that the arguments name. Returns the exit code: 0, 1 for failure, 2 for bad settings or data,
    4 for data that is not available, 130 for a signal."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if sentence := moved("limrank-eval", arguments):
        sys.stderr.write(f"limrank-eval: {sentence}\n")
        return 2
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads slow down the service
    signal.signal(signal.SIGTERM, _stop)
    try:
        return commands.main(PROGRAM, COMMANDS, arguments)
    except KeyboardInterrupt:
        sys.stderr.write(f"limrank-eval {' '.join(arguments[:1])}: stopped; the same command goes on from here.\n")
        return Interrupted.exit_code


def _stop(number: int, frame: FrameType | None) -> None:
    raise Interrupted("stopped by a signal; the same command goes on from here.")


COMMANDS = (
    Subcommand("run", rank.RankSettings, rank.run),
    Subcommand("calibrate", calibrate.CalibrateSettings, calibrate.run),
    Subcommand("adaptive", adaptive.AdaptiveSettings, adaptive.run),
    Subcommand("adaptive-runs", adaptive_runs.AdaptiveRunsSettings, adaptive_runs.run),
    Subcommand("cascade", cascade.CascadeSettings, cascade.run),
    Subcommand("fuse", fuse.FuseSettings, fuse.run),
    Subcommand("injections", injections.InjectionSettings, injections.run),
    Subcommand("rag", rag.RagSettings, rag.run),
    Subcommand("compare", compare.CompareSettings, compare.run),
    Subcommand("report", report.ReportSettings, report.run),
    Subcommand("benchmarks", benchmarks.BenchmarksSettings, benchmarks.run),
)


if __name__ == "__main__":
    sys.exit(main())
