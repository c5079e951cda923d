"""What shows only in rare situations or on a GPU, read from the source: log events and names of metrics."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.interface.programs import PACKAGES, ROOT

_LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
_EVENT = re.compile(r"[a-z]+(_[a-z]+)*")
_METRIC = re.compile(r"limrank_[a-z_]+")


def source_pins() -> dict[str, set[str]]:
    """The event of a log line is the one literal that a logging call begins with; a metric's name is the first argument
    of what makes it, its description the second. Messages that are whole sentences are no events."""
    calls = list(_calls())
    events = {event for call in calls if (event := _logged(call)) and _EVENT.fullmatch(event)}
    described = (call for call in calls if _literal(call, 1) is not None)
    metrics = {name for call in described if (name := _literal(call, 0)) and _METRIC.fullmatch(name)}
    return {"log events": events, "metric names": metrics}


def _calls() -> Iterator[ast.Call]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield node


def _logged(call: ast.Call) -> str | None:
    if not isinstance(call.func, ast.Attribute):
        return None
    if call.func.attr in _LEVELS:
        return _literal(call, 0)
    return _literal(call, 1) if call.func.attr == "log" else None


def _literal(call: ast.Call, place: int) -> str | None:
    if len(call.args) <= place:
        return None
    argument = call.args[place]
    return argument.value if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else None
