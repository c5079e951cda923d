"""Programs with subcommands: picks the command, reads its settings, runs it, and prints an error as one sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cli.environment import Program
from cli.errors import CommandError
from cli.output import say_result, tell
from cli.settings import Command, read_command


@dataclass(frozen=True, slots=True)
class Subcommand:
    """One command. `run` does the work and returns the text to print at the end, or None when it printed already."""

    name: str
    settings: type[Command]
    run: Callable[[Any], str | None]


def main(program: Program, commands: Sequence[Subcommand], argv: Sequence[str]) -> int:
    """Runs the command that `argv` names. Returns the exit code: 0, 2 when none is named, or that of the error."""
    command = next((command for command in commands if argv and command.name == argv[0]), None)
    if command is None:
        asked_for_help = bool(argv) and argv[0] in ("-h", "--help", "help")
        (sys.stdout if asked_for_help else sys.stderr).write(usage(program, commands) + "\n")
        return 0 if asked_for_help else 2
    return run_command(f"{program.name} {command.name}", program, command, argv[1:], commands)


def run_command(
    speaker: str, program: Program, command: Subcommand, argv: Sequence[str], commands: Sequence[Subcommand]
) -> int:
    """Reads the settings of a command and runs it. Prints an error as `SPEAKER: sentence` and returns the exit code."""
    try:
        known = [each.settings for each in commands]
        output = command.run(read_command(command.settings, program, command.name, argv, known))
        if output is not None:
            say_result(output)
    except CommandError as error:
        tell(f"{speaker}: {error}")
        return error.exit_code
    return 0


def usage(program: Program, commands: Sequence[Subcommand]) -> str:
    """The commands with the first line of their help."""
    width = max(len(command.name) for command in commands) + 1
    lines = [f"  {command.name:{width}} {(command.settings.__doc__ or '').splitlines()[0]}" for command in commands]
    return "\n".join([f"usage: {program.name} COMMAND ... (COMMAND --help lists its settings)", "", *lines])
