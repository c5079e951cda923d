"""The errors of an evaluation, as one tree. Each message is a sentence: the offending value and the remedy.

CommandError             (cli.errors)
|-- BadSettings          an invalid flag or setting
|-- BadData              a file of a benchmark that breaks its format (BadInput of cli.errors)
|-- Interrupted          a signal asked the run to stop; the scores so far are kept
|-- EndpointFailed       an answering model that cannot be reached or used (llm.base)
`-- EvaluationError
    |-- NotAvailable     data that is not available here; the benchmark is reported as not run
    `-- ScorerFailed     a scorer that cannot be started, or that stopped answering
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cli.errors import BadInput as BadData
from cli.errors import BadSettings, CommandError, Interrupted
from llm.base import EndpointFailed
from retrieval.errors import MissingData

__all__ = [
    "BadData",
    "BadSettings",
    "CommandError",
    "EndpointFailed",
    "EvaluationError",
    "Interrupted",
    "NotAvailable",
    "ScorerFailed",
    "missing_is_not_available",
]


class EvaluationError(CommandError):
    """Base of the errors that only an evaluation raises."""


class NotAvailable(EvaluationError):
    exit_code = 4


class ScorerFailed(EvaluationError):
    pass


@contextmanager
def missing_is_not_available() -> Iterator[None]:
    """Turns a missing file or split into `NotAvailable`."""
    try:
        yield
    except MissingData as error:
        raise NotAvailable(str(error)) from None
