"""The errors that stop a run, as one tree. Each message is a sentence: the offending value and the remedy.

    CommandError                 (cli.errors)
    |-- BadSettings              a setting, a template or a flag that cannot be
    |-- BadInput                 a row of an input file, named by file and line
    |-- DiskFull                 the journal or an output can take no more
    |-- Interrupted              a signal asked the run to stop
    |-- EndpointFailed           an endpoint that cannot be used at all: unreachable, wrong key (llm.base)
    `-- SynthError
        |-- JournalBroken        a line of the journal that is no row
        |-- RunBusy              another process works in this run folder
        |-- NothingUsable        no reply of a stage could be used
        `-- BudgetSpent          the run's budget is reached; everything paid for is in the journal

One reply that cannot be used is not an error of the run: it becomes a row of the journal.
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
