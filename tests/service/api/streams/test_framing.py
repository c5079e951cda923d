"""An event is one line, whatever is in it."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.streams.framing import NDJSON, SSE, Framing

VALUES = st.recursive(
    st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
)


@given(VALUES, st.sampled_from([None, 1]))
def test_a_document_that_is_sent_back_as_it_was_written_is_one_line(value: object, indent: int | None) -> None:
    written = orjson.Fragment(json.dumps(value, ensure_ascii=False, indent=indent).replace("\n", "\r\n").encode())
    line = NDJSON.event({"event": "document", "document": written}).decode()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["document"] == value
    name, data, empty = SSE.last({"document": written}).decode().splitlines()
    assert (name, empty) == ("event: done", "")
    assert json.loads(data.removeprefix("data: "))["document"] == value


@pytest.mark.parametrize("framing", [NDJSON, SSE])
def test_the_media_type_stands_in_the_content_type(framing: Framing) -> None:
    assert framing.content_type.startswith(framing.media_type)
