"""`limrank-eval`: one command for each act. An error is a sentence on the standard error and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from cli import commands
from cli.commands import Subcommand
from evaluation.commands import benchmarks, calibrate, compare, injections, mini, rag, rank, report, traces
from evaluation.errors import Interrupted
from evaluation.settings import PROGRAM


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, 1 for failure, 2 for bad settings or data, 4 for data that cannot be had, 130 for a signal."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin slow down those of the service
    signal.signal(signal.SIGTERM, _stop)
    try:
        return commands.main(PROGRAM, COMMANDS, arguments)
    except KeyboardInterrupt:
        sys.stderr.write(f"limrank-eval {' '.join(arguments[:1])}: stopped; the same command goes on from here.\n")
        return Interrupted.exit_code


def _stop(number: int, frame: FrameType | None) -> None:
    raise Interrupted("stopped by a signal; the same command goes on from here.")


COMMANDS = (
    Subcommand("run", rank.RankSettings, rank.act),
    Subcommand("calibrate", calibrate.CalibrateSettings, calibrate.act),
    Subcommand("traces", traces.TracesSettings, traces.act),
    Subcommand("injections", injections.InjectionSettings, injections.act),
    Subcommand("rag", rag.RagSettings, rag.act),
    Subcommand("compare", compare.CompareSettings, compare.act),
    Subcommand("report", report.ReportSettings, report.act),
    Subcommand("benchmarks", benchmarks.BenchmarksSettings, benchmarks.act),
    Subcommand("mini", mini.MiniSettings, mini.act),
)


if __name__ == "__main__":
    sys.exit(main())
