"""A body of very many values is read as any other, without making those that nothing is ranked by."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import BadRequest, ServiceError
from service.wire.documents import PrunedDocument
from service.wire.pruning import pruned
from service.wire.structure import is_heavy, items_of, structure_of
from tests.service.api.bad_input import FIELDS
from tests.service.api.bad_input_cases import cases
from tests.service.wire.rankings import ranking_of
from tests.service.wire.test_properties import TEXTS, VALUES, bodies, outcome

MOST = 3
MIB = 1 << 20


def told(data: dict[str, Any]) -> tuple[Any, ...]:
    """A refusal in words, or the request and the answer that a client reads."""
    result = outcome(data)
    if isinstance(result, ServiceError):
        return result.status, result.message, result.field
    answer = orjson.dumps(result.answer(ranking_of(result.call, 2.0, -1.0)))
    # The documents stand in the answer: of very many values as they were sent, with other spaces.
    return replace(result.call, documents=()), result.label, orjson.loads(answer)


def same(content: bytes) -> None:
    """Whatever comes of a text comes of it with what is not read left out."""
    whole, lean = parsed(orjson.loads, content), parsed(partial(pruned, most_items=MOST), content)
    assert type(lean) is type(whole)
    if isinstance(whole, dict):
        assert told(lean) == told(whole)
    elif isinstance(whole, orjson.JSONDecodeError):
        assert str(lean) == str(whole)


def parsed(parse: Callable[[bytes], Any], content: bytes) -> Any:
    """What comes of a text, a fault included."""
    try:
        return parse(content)
    except orjson.JSONDecodeError as error:
        return error


@pytest.mark.parametrize("fits", [True, False])
@pytest.mark.parametrize("shape", FIELDS)
@settings(max_examples=150, deadline=None)
@given(draw=st.data(), ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
def test_any_body_is_read_alike(
    shape: str, fits: bool, draw: st.DataObject, ascii_only: bool, indent: int | None
) -> None:
    body = draw.draw(bodies(shape, fits)) | draw.draw(st.dictionaries(TEXTS, VALUES, max_size=2))
    same(json.dumps(body, ensure_ascii=ascii_only, indent=indent).encode())


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=40) | VALUES.map(json.dumps).map(str.encode))
def test_any_bytes_are_read_alike(content: bytes) -> None:
    if content:
        same(content)


@pytest.mark.parametrize("case", [case for case in cases(MOST, MIB) if case.body], ids=lambda case: str(case.name))
def test_every_odd_body_is_read_alike(case: Any) -> None:
    same(case.body)


@pytest.mark.parametrize(
    "content",
    [
        rb'{"query": "q", "documents": ["a"], "x": ["\ud800 and more"]}',
        rb'{"query": "q", "documents": ["a"], "x": {"\udc00\ud800": "and more"}}',
        rb'{"query": "q", "documents": ["a"], "x": "\ud83d\ude00 \\ud800"}',
        b'{"query": "q", "documents": ["a"], "x": "\xed\xa0\x80"}',
        b'{"query": "q", "documents": ["a"], "x": [1e999]}',
        b'{"query": "q", "documents": ["a"], "x": {"y": ' + b"9" * 400 + b"}}",
        b'{"query": "q", "documents": ["a"], "x": "1e999"}',
        b'{"query": "q", "documents": ["a"], "x": ' + b"[" * 1200 + b"]" * 1200 + b"}",
        b'{"query": "q", "documents": ["a"], "x": ' + b"[" * 400 + b"]" * 400 + b"}",
        b'{"query": "q", "documents": ["a"], "x": [1,]}',
        b'{"query": "q", "documents": ["a"], "x": [01]}',
        b'{"query": "q", "documents": ["a"], "x": "\x01"}',
        b'{"query": "q", "documents": ["a"], "x": 1} {}',
        rb'{"qu\u0065ry": "q", "documents": ["a"], "documents": ["b", "c"], "x": 1, "x": 2}',
        rb'{"query": "q", "documents": [{"te\u0078t": "a", "text": "b \\\" [,{"}, {"text": null}]}',
        rb'{"query": "q", "documents": [{"a": 1e2, "b": {}}], "rank_fields": ["a", "b"]}',
        b'{"query": {"text": [1]}, "passages": [{"text": "a", "b": [1]}, {"text": {"c": 1}}]}',
        b'{"query": "q", "documents": ["a"], "rank_fields": [' + b'"a",' * 200 + b"1]}",
        b"\xef\xbb\xbf{}",
        b' \n {"query": "q" , "documents" : [ "a" , { "text" : "b" , "c" : [ ] } ] , "return_documents" : true } \n',
    ],
)
def test_what_msgspec_and_orjson_could_read_otherwise(content: bytes) -> None:
    same(content)


def filled(make: Callable[[bytes], bytes], unit: bytes) -> bytes:
    return make(unit * (MIB // len(unit)))


PLACES: dict[str, Callable[[bytes], bytes]] = {
    "an unknown field": lambda many: b'{"query": "q", "documents": ["a"], "x": [' + many + b"0]}",
    "a document": lambda many: b'{"query": "q", "documents": [{"text": "a", "x": [' + many + b"0]}]}",
    "a document that comes back": lambda many: (
        b'{"query": "q", "return_documents": true, "documents": [{"x": [' + many + b'0], "text": "a"}]}'
    ),
    "documents": lambda many: b'{"query": "q", "documents": [' + many + b"0]}",
    "texts": lambda many: b'{"query": "q", "texts": [' + many + b'"a"]}',
    "a passage": lambda many: b'{"query": {"text": "q"}, "passages": [{"text": "a", "x": [' + many + b"0]}]}",
    "query": lambda many: b'{"query": [' + many + b'0], "documents": ["a"]}',
    "rank_fields": lambda many: b'{"query": "q", "documents": ["a"], "rank_fields": [' + many + b'"a"]}',
    "a switch": lambda many: b'{"query": "q", "documents": ["a"], "return_documents": [' + many + b"0]}",
}
UNITS = [b"{},", b"[],", b'"",', b"1,", b"[[[[]]]],", b'{"a":{"b":1}},', b"null,", b'"[,{",']


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.decode())
def test_very_many_values_are_read_alike(place: str, unit: bytes) -> None:
    same(filled(PLACES[place], unit))


def test_very_many_keys_are_read_alike() -> None:
    keys = b",".join(b'"%x":%d' % (number, number) for number in range(50_000))
    for body in (
        b'{"query": "q", ' + keys + b', "documents": ["a"]}',
        b'{"query": "q", "documents": [{' + keys + b', "text": "a"}], "return_documents": true}',
        b'{"query": "q", "documents": [{"text": null, ' + keys + b'}], "return_documents": true, "rank_fields": ["f"]}',
        b'{"query": "q", "documents": [{"text": "a"' + b', "text": "b"' * 50_000 + b'}], "return_documents": true}',
        b'{"query": "q", "documents": [{"text": "a", "' + b"k" * MIB + b'": 1}], "return_documents": true}',
    ):
        same(body)


def test_a_document_of_very_many_values_comes_back_whole() -> None:
    many = b'{"text": null, "f": "scored", "x": [' + b"{}, " * (3 * MIB) + b"0]}"
    body = b'{"query": "q", "rank_fields": ["f"], "return_documents": true, "documents": ["a", ' + many + b"]}"
    assert is_heavy(body)
    lean = pruned(body, MOST)
    assert set(lean["documents"][1]) == {"text", "f"}, "and no x"
    result = outcome(lean)
    assert not isinstance(result, ServiceError)
    answer = orjson.dumps(result.answer(ranking_of(result.call, 1.0, 2.0)))
    assert answer.count(b"{}, ") == 3 * MIB
    assert answer.count(b'"text":"scored"') == 1


def test_a_deep_document_of_very_many_values_does_not_come_back() -> None:
    deep = b"[" * 300 + b"{}," * (3 * MIB) + b"0" + b"]" * 300
    body = b'{"query": "q", "return_documents": true, "documents": [{"text": "a", "x": ' + deep + b"}]}"
    result = outcome(pruned(body, MOST))
    assert isinstance(result, BadRequest)
    assert "nested deeper" in result.message


def test_usual_bodies_are_not_heavy() -> None:
    text = "Gout, an arthritis: [it] is treated {with} colchicine, and rest. " * 20
    documents = [{"id": number, "title": "a", "text": text, "tags": ["a", "b"]} for number in range(2000)]
    assert not is_heavy(json.dumps({"query": "q", "documents": documents}).encode())
    assert not is_heavy(b'{"query": "q", "documents": [' + b"{}," * 10_000 + b'"a"]}')


@settings(max_examples=300, deadline=None)
@given(value=VALUES, ascii_only=st.booleans())
def test_structure_is_that_of_the_values(value: Any, ascii_only: bool) -> None:
    def depth(value: Any) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    content = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert structure_of(content).depth == depth(value)
    if isinstance(value, list):
        assert items_of(content) == len(value)


def test_structure_goes_on_over_blocks() -> None:
    items = ['a "quoted" \\ [text], ' * 10_000, [["b"] * 30_000], {"c": "{" * 300_000}]
    content = json.dumps(items * 5).encode()
    assert len(content) > 5 << 18
    assert items_of(content) == 15
    assert structure_of(content).depth == 3


def test_a_pruned_document_is_a_dictionary() -> None:
    assert PrunedDocument({"text": "a"}) == {"text": "a"}
