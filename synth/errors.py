"""The errors that stop a run, as one tree. Each message is a sentence: the offending value and the remedy.

    CommandError                 (cli.errors)
    |-- BadSettings              a setting, a template or a flag that is invalid
    |-- BadInput                 a row of an input file, named by file and line
    |-- DiskFull                 no room for the journal or an output
    |-- Interrupted              a signal asked the run to stop
    |-- EndpointFailed           an endpoint that cannot be used at all: unreachable, wrong key (llm.base)
    `-- SynthError
        |-- JournalBroken        a line of the journal that is not a row
        |-- RunBusy              another process works in this run folder
        |-- NothingUsable        a stage had no usable reply
        `-- BudgetSpent          the run's budget is reached; everything paid for is in the journal

A single unusable reply is not an error of the run: it becomes a row of the journal.
"""

from __future__ import annotations

from cli.errors import BadInput, BadSettings, CommandError, DiskFull, Interrupted
from llm.base import EndpointFailed

__all__ = [
    "BadInput",
    "BadSettings",
    "BudgetSpent",
    "CommandError",
    "DiskFull",
    "EndpointFailed",
    "Interrupted",
    "JournalBroken",
    "NothingUsable",
    "RunBusy",
    "SynthError",
]


class SynthError(CommandError):
    """Base of the errors that only the synthesizer raises."""


class JournalBroken(SynthError):
    pass


class RunBusy(SynthError):
    pass


class NothingUsable(SynthError):
    pass


class BudgetSpent(SynthError):
    exit_code = 3
