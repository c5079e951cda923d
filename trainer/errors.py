"""The trainer's errors, as one tree. Each message is one or two sentences: the problem and the remedy; exit status 2.

CommandError             (cli.errors)
|-- BadSettings          an invalid flag, environment value or config
|-- BadData              a file of records or groups that cannot be trained on (BadInput of cli.errors)
`-- TrainError
    |-- BadBase          a base model that cannot be trained, or that does not fit what was made from it
    |-- BadRunFolder     a run folder that belongs to other settings, or cannot be written
    |-- ServiceFailed    a service that did not start, or stopped answering
    `-- Diverged         a training whose loss or weights are NaN or infinite
"""

from __future__ import annotations

from cli.errors import BadInput as BadData
from cli.errors import BadSettings, CommandError

__all__ = [
    "BadBase",
    "BadData",
    "BadRunFolder",
    "BadSettings",
    "CommandError",
    "Diverged",
    "ServiceFailed",
    "TrainError",
]


class TrainError(CommandError):
    """Base of the errors that only training raises."""

    exit_code = 2


class BadBase(TrainError):
    """A base model, adapter or checkpoint that cannot be used."""


class BadRunFolder(TrainError):
    """A run folder that cannot be resumed or written."""


class ServiceFailed(TrainError):
    """A service that did not start, or stopped answering."""


class Diverged(TrainError):
    """Training that cannot continue, because its loss or its weights became NaN or infinite."""
