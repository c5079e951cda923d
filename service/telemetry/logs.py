"""Logs as JSON lines with the request's id, for our loggers, uvicorn's and Python's warnings.

A message is the name of an event; what belongs to it stands in `extra`. Texts of users never get in: no line of ours
has them, and the message of an exception that is logged within a request is left out, since a library may have
quoted its input there; type and stack stay. `texts` True (the setting `log_texts`) lets both through.
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

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_ATTRIBUTES_OF_EVERY_RECORD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_LEFT_OUT = _ATTRIBUTES_OF_EVERY_RECORD | {"color_message"}  # uvicorn's: the event once more, for terminals
# Loggers that speak at the chosen level; all others (model libraries, HTTP clients) only from warnings on.
_OURS = ("limrank", "service", "uvicorn")
# asyncio logs what a task raised long after the request that began it.
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
        """The message; of asyncio's only its first line, since the next ones show the task and what it raised."""
        message = record.getMessage()
        return message.partition("\n")[0] if record.name in _LOGS_FOR_OTHERS and not self._texts else message


class ErrorFile(logging.FileHandler):
    """A file of lines that is opened with the first one. Where its folder is gone by then nothing is written: what
    logs an error goes on to deal with it, and must not end with another."""

    def __init__(self, filename: str) -> None:
        super().__init__(filename, delay=True)

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            super().emit(record)


def configure_logging(level: str, *, texts: bool = False, stream: TextIO | None = None) -> None:
    """Send everything that is logged in this process to `stream` (standard error) as JSON lines.

    uvicorn must be given `log_config=None, access_log=False`: its access log would show query strings.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
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
    """The error's type and, if it may be shown, its message; then the same of what caused it."""
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    text = f"{name}: {error}" if quotable else name
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return f"{text} <- {_described(cause, quotable)}" if cause is not None else text


def _frames(trace: TracebackType | None) -> list[str]:
    """Where it went wrong, innermost last. Source lines are ours or a library's, never a user's."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}: {frame.line}" for frame in traceback.extract_tb(trace)]
