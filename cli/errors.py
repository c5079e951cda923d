"""The errors that end a command of any program. Each message is a sentence: the offending value and the remedy.

    CommandError
    |-- BadSettings     a setting, flag, environment value or template that cannot be used
    |-- BadInput        a file that does not have its format
    |-- DiskFull        nothing more can be written
    `-- Interrupted     a signal stopped the command

Each program has its own base with its own leaves: SynthError, EvaluationError, TrainError.
"""

from __future__ import annotations


class CommandError(Exception):
    """Base of the tree; the command line prints the message and exits with `exit_code`."""

    exit_code = 1


class BadSettings(CommandError):
    exit_code = 2


class BadInput(CommandError):
    exit_code = 2


class DiskFull(CommandError):
    pass


class Interrupted(CommandError):
    exit_code = 130
