"""The two framings of a streamed answer: lines of JSON, and server-sent events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

_LAST = "done"
# Valid inside JSON strings, and line breaks for clients that split text as Python's `splitlines` does (httpx).
_BREAKS = {character.encode(): f"\\u{ord(character):04x}".encode() for character in "\u2028\u2029\x85"}
_BREAKS |= {b"\n": b" ", b"\r": b" "}  # between the values of a document that is sent back as it was written


@dataclass(frozen=True, slots=True)
class Framing:
    """`frame(name, body)` returns the bytes of one event, whose body is one line of JSON."""

    media_type: str
    content_type: str
    frame: Callable[[str, bytes], bytes]

    def event(self, event: Mapping[str, Any]) -> bytes:
        """An event that names itself under `event`."""
        return self.frame(event["event"], _one_line(event))

    def last(self, answer: Any) -> bytes:
        """The ordinary answer, bare, which ends the stream."""
        return self.frame(_LAST, _one_line(answer))


def _one_line(value: Any) -> bytes:
    body = orjson.dumps(value)
    for character, escaped in _BREAKS.items():
        if character in body:
            body = body.replace(character, escaped)
    return body


def _line(_: str, body: bytes) -> bytes:
    return body + b"\n"


def _server_sent(name: str, body: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + body + b"\n\n"


NDJSON = Framing("application/x-ndjson", "application/x-ndjson", _line)
SSE = Framing("text/event-stream", "text/event-stream; charset=utf-8", _server_sent)
FRAMINGS = (NDJSON, SSE)
