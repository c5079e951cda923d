"""The errors of `limrank`'s own commands. Each message is a sentence: the offending value and the remedy.

AppError
|-- CannotStart     the model cannot be loaded in this process
|-- ServiceFailed   the service cannot be reached, refuses every call, or has died
`-- Incomplete      the command did what it could, and some of its work failed
"""

from __future__ import annotations

from cli.errors import CommandError


class AppError(CommandError):
    """Base of the tree."""


class CannotStart(AppError):
    exit_code = 2


class ServiceFailed(AppError):
    pass


class Incomplete(AppError):
    pass
