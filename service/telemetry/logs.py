"""Logs as JSON lines with the request's id, for our loggers, uvicorn's and Python's warnings.

A message is the name of an event; its details are in `extra`. Users' texts are never logged: no line of ours contains
them, and the message of an exception logged within a request is omitted, since a library may have quoted its input
there; type and stack remain. `texts` (the setting `log_texts`) allows both.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from cli import progress

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_ATTRIBUTES_OF_EVERY_RECORD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_LEFT_OUT = _ATTRIBUTES_OF_EVERY_RECORD | {"color_message"}  # uvicorn's copy of the message, for terminals
# Loggers that log at the chosen level; all others (model libraries, HTTP clients) log from warnings on.
_OURS = ("limrank", "service", "uvicorn")
# asyncio logs the exception of a task long after the request that started it.
_LOGS_FOR_OTHERS = ("asyncio",)


class JsonFormatter(logging.Formatter):
    """One line per record: time, level, logger, event, request_id, then the record's `extra`."""

    def __init__(self, *, texts: bool = False) -> None:
        super().__init__()
        self._texts = texts

    def format(self, record: logging.LogRecord) -> str:
        current = request_id.get()
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": self._event(record),
        }
        if current is not None:
            line["request_id"] = current
        line.update(_extra(record.__dict__))
        if record.exc_info and record.exc_info[1] is not None:
            quotable = self._texts or (current is None and record.name not in _LOGS_FOR_OTHERS)
            line["exception"] = _described(record.exc_info[1], quotable)
            line["stack"] = _frames(record.exc_info[2])
        return json.dumps(line, default=str)  # pure ASCII: a lone surrogate cannot break the stream

    def _event(self, record: logging.LogRecord) -> str:
        """Returns the message; of asyncio's only the first line, since the others show the task and its exception."""
        message = record.getMessage()
        return message.partition("\n")[0] if record.name in _LOGS_FOR_OTHERS and not self._texts else message


class _Lines(logging.StreamHandler[TextIO]):
    """Lines on a stream on which a progress bar may stand."""

    def emit(self, record: logging.LogRecord) -> None:
        progress.clear()
        super().emit(record)


class ErrorFile(logging.FileHandler):
    """A log file that is opened for its first line. If its folder no longer exists, nothing is written: code that logs
    an error goes on to handle it, and must not fail with another one."""

    def __init__(self, filename: str) -> None:
        super().__init__(filename, delay=True)

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            super().emit(record)


def configure_logging(level: str, *, texts: bool = False, stream: TextIO | None = None) -> None:
    """Sends all logs of this process to `stream` (standard error) as JSON lines.

    uvicorn must be given `log_config=None, access_log=False`: its access log would show query strings.
    """
    handler = _Lines(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(texts=texts))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(level.upper())
    logging.captureWarnings(True)


def _extra(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name not in _LEFT_OUT}


def _described(error: BaseException, quotable: bool) -> str:
    """Returns the error's type and, if it may be shown, its message; then the same for its causes."""
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    text = f"{name}: {error}" if quotable else name
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return f"{text} <- {_described(cause, quotable)}" if cause is not None else text


def _frames(trace: TracebackType | None) -> list[str]:
    """Returns the frames of the stack, innermost last. Source lines are ours or a library's, never a user's."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}: {frame.line}" for frame in traceback.extract_tb(trace)]
