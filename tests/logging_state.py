"""Gives Python's logging back as it was: a command that a test runs in this process sets it up for itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_NAMES = ("", "limrank", "limrank.access", "service", "uvicorn", "uvicorn.error", "uvicorn.access")


@contextmanager
def logging_restored() -> Iterator[None]:
    """Restores level, handlers and propagation of the root logger and of the loggers that the programs set up, and what
    makes log records: Ray adds a field of its own to each once it is imported."""
    factory = logging.getLogRecordFactory()
    loggers = [logging.getLogger(name) for name in _NAMES]
    before = [(logger, logger.level, list(logger.handlers), logger.propagate) for logger in loggers]
    try:
        yield
    finally:
        logging.captureWarnings(False)
        logging.setLogRecordFactory(factory)
        for logger, level, handlers, propagate in before:
            logger.setLevel(level)
            logger.handlers = handlers
            logger.propagate = propagate
