"""Everything that stops a run, as one tree. Each message is a sentence: the offending value and the remedy.

    SynthError               the base that all programs share (`cli.errors.CommandError`)
    |-- BadSettings          a setting, a template or a flag that cannot be
    |-- BadInput             a row of an input file, named by file and line
    |-- JournalBroken        a line of the journal that is no row
    |-- RunBusy              another process works in this run folder
    |-- BudgetSpent          the run's budget is reached; everything paid for is in the journal
    |-- DiskFull             the journal can take no more
    |-- Interrupted          a signal asked the run to stop
    `-- EndpointFailed       an endpoint that cannot be used at all: unreachable, wrong key, unknown model

A reply that cannot be used is not an error of the run: it becomes a row of the journal.
"""

from __future__ import annotations

from cli.errors import BadInput, BadSettings, DiskFull, Interrupted
from cli.errors import CommandError as SynthError
from llm.base import EndpointFailed

__all__ = [
    "BadInput",
    "BadSettings",
    "BudgetSpent",
    "DiskFull",
    "EndpointFailed",
    "Interrupted",
    "JournalBroken",
    "RunBusy",
    "SynthError",
]


class BudgetSpent(SynthError):
    exit_code = 3


class JournalBroken(SynthError):
    pass


class RunBusy(SynthError):
    pass
