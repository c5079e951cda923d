"""What can go wrong in the trainer.

TrainError                one sentence for the person at the terminal, exit status 2
├── BadSettings           a flag, environment value or config that cannot be
├── BadData               a file of records or groups that cannot be trained on
├── BadBase               a base model that cannot be trained, or that does not fit what was made from it
├── BadRunFolder          a run folder that belongs to other settings, or cannot be written
└── Diverged              a training whose loss or weights are no longer numbers
"""

from __future__ import annotations


class TrainError(Exception):
    """The message is one sentence or two: what is wrong, and the remedy."""


class BadSettings(TrainError):
    """A flag, an environment value or a line of a config that cannot be."""


class BadData(TrainError):
    """Training data that cannot be used."""


class BadBase(TrainError):
    """A base model, adapter or checkpoint that cannot be used."""


class BadRunFolder(TrainError):
    """A run folder that cannot be gone on with or written."""


class Diverged(TrainError):
    """A training that cannot be gone on with, as NaN or infinity came into its loss or its weights."""
