"""The trainer's errors.

TrainError                one sentence for the terminal, exit status 2
├── BadSettings           an invalid flag, environment value or config
├── BadData               a file of records or groups that cannot be trained on
├── BadBase               a base model that cannot be trained, or that does not fit what was made from it
├── BadRunFolder          a run folder that belongs to other settings, or cannot be written
├── ServiceFailed         a service that did not start, or stopped answering
└── Diverged              a training whose loss or weights are NaN or infinite
"""

from __future__ import annotations


class TrainError(Exception):
    """The message is one or two sentences: the problem and the remedy."""


class BadSettings(TrainError):
    """An invalid flag, environment value or line of a config."""


class BadData(TrainError):
    """Training data that cannot be used."""


class BadBase(TrainError):
    """A base model, adapter or checkpoint that cannot be used."""


class BadRunFolder(TrainError):
    """A run folder that cannot be resumed or written."""


class ServiceFailed(TrainError):
    """A service that did not start, or stopped answering."""


class Diverged(TrainError):
    """A training that cannot continue, as its loss or its weights became NaN or infinite."""
