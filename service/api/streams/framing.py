"""The two framings of a streamed answer: lines of JSON, and server-sent events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

_LAST = "done"


@dataclass(frozen=True, slots=True)
class Framing:
    """`frame(name, body)` returns the bytes of one event. JSON has no line breaks, so a body is one line."""

    media_type: str
    content_type: str
    frame: Callable[[str, bytes], bytes]

    def event(self, event: Mapping[str, Any]) -> bytes:
        """An event that names itself under `event`."""
        return self.frame(event["event"], orjson.dumps(event))

    def last(self, answer: Any) -> bytes:
        """The ordinary answer, bare, which ends the stream."""
        return self.frame(_LAST, orjson.dumps(answer))


def _line(_: str, body: bytes) -> bytes:
    return body + b"\n"


def _server_sent(name: str, body: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + body + b"\n\n"


NDJSON = Framing("application/x-ndjson", "application/x-ndjson", _line)
SSE = Framing("text/event-stream", "text/event-stream; charset=utf-8", _server_sent)
FRAMINGS = (NDJSON, SSE)
