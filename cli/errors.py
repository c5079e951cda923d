"""Errors that the command-line programs share. Each message is a sentence: the offending value and the remedy.

ProgramError
|-- BadSettings      a flag, a setting or a model name that cannot be used
|-- BadData          a file that is not what its format says, named with the row where possible
|-- EndpointFailed   an endpoint that cannot be used at all: unreachable, wrong key, unknown model
`-- Interrupted      a signal asked the run to stop
"""

from __future__ import annotations


class ProgramError(Exception):
    """Base of the tree; a command line prints the message and exits with `exit_code`."""

    exit_code = 1


class BadSettings(ProgramError):
    exit_code = 2


class BadData(ProgramError):
    exit_code = 2


class EndpointFailed(ProgramError):
    pass


class Interrupted(ProgramError):
    exit_code = 130
