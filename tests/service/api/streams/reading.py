"""Reads streamed answers, in both framings, as a client does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import httpx

LINES = {"Accept": "application/x-ndjson"}
EVENTS = {"Accept": "text/event-stream"}

Named = tuple[str, dict[str, Any]]


def lines_of(text: str) -> list[Named]:
    """The events of lines of JSON, by their names; that of the bare last one is `done`."""
    assert text.endswith("\n")
    objects = [json.loads(line) for line in text.split("\n")[:-1]]
    return [(each.get("event", "done"), each) for each in objects]


def events_of(text: str) -> list[Named]:
    """The events of a stream of server-sent events, by the rules of the standard for those that we send."""
    blocks = text.split("\n\n")
    assert blocks.pop() == ""
    found = []
    for block in blocks:
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def read(answer: httpx.Response) -> list[Named]:
    """The events of a whole answer."""
    assert answer.status_code == 200, answer.text
    kind = answer.headers["content-type"].partition(";")[0]
    return lines_of(answer.text) if kind == "application/x-ndjson" else events_of(answer.text)


def of(name: str, events: Iterable[Named]) -> list[dict[str, Any]]:
    return [event for each, event in events if each == name]


def arriving(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """The lines of an answer, each as soon as it has come."""
    return map(json.loads, answer.iter_lines())


def without_moment(answer: dict[str, Any]) -> dict[str, Any]:
    """An ordinary answer without what differs from call to call."""
    return {name: value for name, value in answer.items() if name != "id"}
