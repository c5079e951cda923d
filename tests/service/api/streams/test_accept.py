"""Who gets a streamed answer, and in which framing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.streams.accept import framing_asked
from service.api.streams.framing import NDJSON, SSE, Framing

LINES, EVENTS = "application/x-ndjson", "text/event-stream"


@pytest.mark.parametrize(
    ("accept", "stream", "framing"),
    [
        ("", None, None),
        ("", True, SSE),
        ("", False, None),
        (LINES, None, NDJSON),
        (EVENTS, None, SSE),
        ("TEXT/Event-Stream; charset=utf-8", None, SSE),
        (LINES, False, None),
        (LINES, True, NDJSON),
        (EVENTS, True, SSE),
        # JSON is accepted as well, by its name or by a range that holds it
        (f"application/json, {LINES}", None, None),
        (f"{EVENTS}, application/json;q=0.1", None, None),
        (f"{LINES}, application/*;q=0.2", None, None),
        (f"{EVENTS}, */*;q=0.1", None, None),
        ("*/*", None, None),
        ("*/*", True, SSE),
        ("application/*", True, SSE),
        (f"application/json, {LINES}", True, NDJSON),
        # and is not, where its own weight is 0, whatever a wider range says
        (f"{EVENTS}, application/json;q=0, */*;q=0.5", None, SSE),
        (f"{LINES}, application/*;q=0", None, NDJSON),
        # of both the one that weighs more, of equals the first
        (f"{LINES}, {EVENTS}", None, NDJSON),
        (f"{EVENTS}, {LINES}", None, SSE),
        (f"{LINES};q=0.4, {EVENTS};q=0.5", None, SSE),
        (f"{LINES};q=0, {EVENTS}", None, SSE),
        (f"{LINES};q=0", None, None),
        ("text/*", None, None),
        ("text/html", None, None),
        ("text/html", True, SSE),
        (",;q=1,, ;", None, None),
        (f"{LINES};q=nan", None, NDJSON),
        (f"{LINES};q=", None, NDJSON),
    ],
)
def test_the_framing(accept: str, stream: bool | None, framing: Framing | None) -> None:
    assert framing_asked(accept, stream) is framing


RANGES = st.sampled_from([LINES, EVENTS, "application/json", "application/*", "text/*", "*/*", "image/png", "x", ""])
WEIGHTS = st.sampled_from(["", ";q=0", ";q=0.3", ";q=1", ";q=2", ";q=x", ";a=b;q=0.5"])
HEADERS = st.lists(st.builds(str.__add__, RANGES, WEIGHTS), max_size=5).map(", ".join)


@given(HEADERS, st.none() | st.booleans())
def test_any_header_is_understood(accept: str, stream: bool | None) -> None:
    framing = framing_asked(accept, stream)
    if stream is False:
        assert framing is None
    elif stream:
        assert framing is not None
    elif framing is not None:
        assert framing.media_type in accept
        assert framing_asked(f"{accept}, application/json", None) is None


@given(st.text(max_size=60))
def test_any_text_is_understood(accept: str) -> None:
    framing_asked(accept, None)
