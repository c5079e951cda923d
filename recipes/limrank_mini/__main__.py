"""`python -m recipes.limrank_mini COMMAND`: the commands that limrank-mini and limrank-mini-ce need beyond the
programs.

An error is printed as a sentence on standard error, with an exit code. Settings in the environment are those of the
program that a command belongs to: LIMRANK_SYNTH_... for `import`, LIMRANK_TRAIN_EVAL_... for `traces`, `table`
and `measure`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import FrameType

import evaluation.cli
import evaluation.settings
import synth.cli
import synth.settings
from cli.environment import Program
from cli.errors import CommandError
from cli.settings import AnyCommand, Command, read_command
from contract.checkpoint.packaged import MINILM_PACKAGE, minilm
from evaluation.errors import BadSettings, Interrupted, NotAvailable
from recipes.limrank_mini import calibration_set, check_traces, import_medquad, table
from recipes.limrank_mini.measuring import command as measuring

PROGRAM = "python -m recipes.limrank_mini"


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, 1 for failure, 2 for bad settings or data, 4 for data that is not available, 130 for a
    signal."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = arguments[0] if arguments else ""
    if name not in COMMANDS:
        asked_for_help = name in ("-h", "--help", "help")
        (sys.stdout if asked_for_help else sys.stderr).write(_usage() + "\n")
        return 0 if asked_for_help else 2
    try:
        _, run = COMMANDS[name]
        sys.stdout.write(run(arguments[1:]) + "\n")
    except CommandError as error:
        sys.stderr.write(f"{PROGRAM} {name}: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"{PROGRAM} {name}: stopped; the same command goes on from here.\n")
        return Interrupted.exit_code
    except OSError as error:
        place = f"{error.filename} cannot be used ({error.strerror})" if error.filename else str(error)
        sys.stderr.write(f"{PROGRAM} {name}: {place}; give a path that can be read and written.\n")
        return 1
    return 0


def _import(arguments: Sequence[str]) -> str:
    kind = import_medquad.ImportSettings
    known: list[type[Command]] = [kind, *(command.settings for command in synth.cli.COMMANDS)]
    return import_medquad.run(read_command(kind, _program(synth.settings.PROGRAM), "import", arguments, known))


def _traces(arguments: Sequence[str]) -> str:
    return check_traces.run(_evaluation_settings(check_traces.TracesSettings, "traces", arguments))


def _table(arguments: Sequence[str]) -> str:
    return table.run(_evaluation_settings(table.MiniSettings, "table", arguments))


def _measure(arguments: Sequence[str]) -> str:
    return measuring.run(_evaluation_settings(measuring.MeasureSettings, "measure", arguments))


def _calibration_set(arguments: Sequence[str]) -> str:
    return calibration_set.run(
        _evaluation_settings(calibration_set.CalibrationSetSettings, "calibration-set", arguments)
    )


def _minilm(arguments: Sequence[str]) -> str:
    """The folder of the packaged MiniLM: the base of limrank-mini-ce, and the bi-encoder of limrank-mini's last run."""
    if set(arguments) & {"-h", "--help"}:
        return f"usage: {PROGRAM} minilm\n\n{COMMANDS['minilm'][0]}"
    if arguments:
        raise BadSettings(f"'{arguments[0]}' is no setting of this command; it takes none.")
    folder = minilm()
    if folder is None:
        raise NotAvailable(f"The package {MINILM_PACKAGE} is not installed; `make tools` installs it.")
    return str(folder)


def _evaluation_settings(kind: type[AnyCommand], name: str, arguments: Sequence[str]) -> AnyCommand:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads slow down the service
    signal.signal(signal.SIGTERM, _stop)
    known: list[type[Command]] = [check_traces.TracesSettings, table.MiniSettings]
    known += [measuring.MeasureSettings, calibration_set.CalibrationSetSettings]
    known += [command.settings for command in evaluation.cli.COMMANDS]
    return read_command(kind, _program(evaluation.settings.PROGRAM), name, arguments, known)


def _program(part: Program) -> Program:
    """The program that a command belongs to, under the recipe's name."""
    return replace(part, name=PROGRAM)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Interrupted("stopped by a signal; the same command goes on from here.")


def _usage() -> str:
    lines = [f"  {name:16} {about}" for name, (about, _) in COMMANDS.items()]
    return "\n".join([f"usage: {PROGRAM} COMMAND ... (COMMAND --help lists its settings)", "", *lines])


COMMANDS: dict[str, tuple[str, Callable[[Sequence[str]], str]]] = {
    "import": ("Turn MedQuAD's labels into records with traces and into groups.", _import),
    "traces": ("Check traces on MedQuAD pairs: what they name, and whether they agree with the verdict.", _traces),
    "table": ("The full table of limrank-mini and limrank-mini-ce, and whether it meets the targets.", _table),
    "measure": ("One model in one mode on general text, DL19, MedQuAD and everyday questions.", _measure),
    "calibration-set": ("Keep train queries out of training, to fit temperatures on.", _calibration_set),
    "minilm": ("Print the folder of the packaged MiniLM, from which training starts.", _minilm),
}


if __name__ == "__main__":
    sys.exit(main())
