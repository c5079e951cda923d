"""What stops a command of the trainer, as one tree. Each message is a sentence or two, with the remedy; exit status 2.

CommandError             (cli.errors)
|-- BadSettings          a flag, environment value or config that cannot be
|-- BadData              a file of records or groups that cannot be trained on (BadInput of cli.errors)
`-- TrainError
    |-- BadBase          a base model that cannot be trained, or that does not fit what was made from it
    |-- BadRunFolder     a run folder that belongs to other settings, or cannot be written
    |-- ServiceFailed    a service that did not start, or stopped answering
    `-- Diverged         a training whose loss or weights are no longer numbers
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
    """A training that cannot be continued, as NaN or infinity came into its loss or its weights."""
