"""Whatever JSON stands in whatever field: a request, or a 4xx that names a field; and every request has an answer."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from service.api.body import parse_object
from service.errors import BadRequest, ServiceError
from service.wire.shape import SHAPES, WireRequest, check_size, error_body, shape_of
from tests.service.api.bad_input import FIELDS
from tests.service.wire.rankings import ranking_of

ANSWERS: dict[str, TypeAdapter[Any]] = {shape.items: TypeAdapter(shape.answer) for shape in SHAPES}
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))
OBJECTS = st.dictionaries(st.sampled_from(["text", "title", "image"]) | TEXTS, VALUES, max_size=3)
RIGHT: dict[str, st.SearchStrategy[Any]] = (
    {
        "query": TEXTS | st.fixed_dictionaries({"text": TEXTS}),
        "documents": st.lists(TEXTS | OBJECTS, min_size=1, max_size=4),
        "texts": st.lists(TEXTS, min_size=1, max_size=4),
        "passages": st.lists(st.fixed_dictionaries({"text": TEXTS}), min_size=1, max_size=4),
        "mode": st.sampled_from(["direct", "reasoning", "adaptive"]),
        "reasoning_budget": st.integers(0, 5),
        "return_probes": st.integers(1, 5),
        "return_label_mass": st.booleans(),
        "truncate": st.sampled_from(["NONE", "END", True, False]),
        "truncation_direction": st.sampled_from(["Left", "right"]),
        "rank_fields": st.lists(st.sampled_from(["text", "title"]) | TEXTS, max_size=3),
        "model": TEXTS,
        "instruction": TEXTS,
        "long_documents": st.sampled_from(["truncate", "chunk"]),
        "max_chunks_per_doc": st.integers(0, 5),
        "first_stage_scores": st.lists(st.floats(-100, 100) | st.integers(-100, 100), min_size=1, max_size=4),
        "first_stage_ranks": st.lists(st.integers(1, 2000), min_size=1, max_size=4),
        "relevant_spans": st.fixed_dictionaries(
            {"mode": st.sampled_from(["enabled", "disabled"])},
            optional={"threshold": st.floats(0, 1) | st.none(), "max_spans": st.integers(1, 3) | st.none()},
        ),
    }
    | dict.fromkeys(
        ("min_score", "score_threshold", "threshold", "first_stage_weight"), st.floats(0, 1) | st.sampled_from([0, 1])
    )
    | dict.fromkeys(("top_n", "top_k", "max_tokens_per_doc", "priority", "max_reasoning_tokens"), st.integers(0, 5))
    | (
        dict.fromkeys(
            ("return_documents", "truncation", "return_reasoning", "raw_scores", "return_text", "stream"), st.booleans()
        )
    )
)


def bodies(shape: str, fits: bool) -> st.SearchStrategy[dict[str, Any]]:
    """Bodies with `shape`'s key: every field of the right kind if `fits`, else some of them anything."""
    fields = {name: RIGHT[name] if fits else RIGHT[name] | VALUES for name in FIELDS[shape]}
    required = {name: fields.pop(name) for name in ("query", shape)}
    return st.fixed_dictionaries(required, optional=fields)


def outcome(data: dict[str, Any]) -> WireRequest | ServiceError:
    """What the route makes of a parsed body."""
    try:
        shape = shape_of(data)
        check_size(data, shape, 3)
        return shape.read(data, "/rerank")
    except ServiceError as error:
        return error


@pytest.mark.parametrize("fits", [True, False])
@pytest.mark.parametrize("shape", FIELDS)
@settings(max_examples=150, deadline=None)
@given(draw=st.data())
def test_any_body_is_answered_or_refused_with_a_reason(shape: str, fits: bool, draw: st.DataObject) -> None:
    body = parse_object(json.dumps(draw.draw(bodies(shape, fits))).encode())
    result = outcome(body)
    if isinstance(result, ServiceError):
        assert 400 <= result.status < 500
        assert result.message.endswith(".")
        assert result.field
        assert re.split(r"[.\[]", result.field)[0] in (*FIELDS[shape], "documents")
        assert 400 <= error_body(result, None, None)[0] < 500
    else:
        answer = result.answer(ranking_of(result.call, 2.0, -1.0, warnings=("A warning.",)))
        ANSWERS[shape].validate_json(orjson.dumps(answer), strict=True)


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=40) | TEXTS.map(str.encode) | OBJECTS.map(lambda value: str(value).encode()))
def test_any_bytes_are_an_object_or_a_bad_request(content: bytes) -> None:
    with contextlib.suppress(BadRequest):
        assert isinstance(parse_object(content), dict)


@settings(max_examples=200, deadline=None)
@given(body=st.dictionaries(st.sampled_from(["documents", "texts", "passages", "query"]) | TEXTS, VALUES, max_size=5))
def test_any_object_at_all(body: dict[str, Any]) -> None:
    result = outcome(body)
    assert not isinstance(result, ServiceError) or 400 <= result.status < 500


@given(body=bodies("documents", fits=True))
@settings(max_examples=100, deadline=None)
def test_null_is_absent(body: dict[str, Any]) -> None:
    optional = dict.fromkeys(set(FIELDS["documents"]) - {"query", "documents"} - set(body))
    optional = {name: value for name, value in optional.items() if name not in ("top_k", "truncation")}

    with_nulls, without = outcome(body | optional), outcome(body)
    if isinstance(without, ServiceError):
        assert isinstance(with_nulls, ServiceError)
        assert with_nulls.message == without.message
    else:
        assert with_nulls == without
