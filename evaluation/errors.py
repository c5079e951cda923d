"""The errors of an evaluation, as one tree. Each message is a sentence: the offending value and the remedy.

EvaluationError
|-- BadSettings    an invalid flag or setting
|-- BadData        a file of a benchmark that breaks its format
|-- NotAvailable   data that is not available here; the benchmark is reported as not run
|-- ScorerFailed   a scorer that cannot be started, or that stopped answering
`-- Interrupted    a signal asked the run to stop; the scores so far are kept
"""

from __future__ import annotations


class EvaluationError(Exception):
    """Base of the tree: the command line prints the message and exits with `exit_code`."""

    exit_code = 1


class BadSettings(EvaluationError):
    exit_code = 2


class BadData(EvaluationError):
    exit_code = 2


class NotAvailable(EvaluationError):
    exit_code = 4


class ScorerFailed(EvaluationError):
    pass


class Interrupted(EvaluationError):
    exit_code = 130
