"""The errors of an evaluation, as one tree. Each message is a sentence: the offending value and the remedy.

CommandError             (cli.errors)
|-- BadSettings          a flag or setting that cannot be
|-- BadData              a file of a benchmark that is not as its format says (BadInput of cli.errors)
|-- Interrupted          a signal asked the run to stop; the scores so far are kept
`-- EvaluationError
    |-- NotAvailable     data that cannot be had here; the benchmark is reported as not run
    `-- ScorerFailed     a scorer that cannot be started, or that stopped answering
"""

from __future__ import annotations

from cli.errors import BadInput as BadData
from cli.errors import BadSettings, CommandError, Interrupted

__all__ = ["BadData", "BadSettings", "CommandError", "EvaluationError", "Interrupted", "NotAvailable", "ScorerFailed"]


class EvaluationError(CommandError):
    """Base of the errors that only an evaluation raises."""


class NotAvailable(EvaluationError):
    exit_code = 4


class ScorerFailed(EvaluationError):
    pass
