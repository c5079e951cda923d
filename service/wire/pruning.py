"""Reads a body of very many values without making those that nothing is ranked by.

JSON's small values take up to 24 times their bytes in memory: 16 MiB of `{}` are 380 MiB of objects, and seconds to
make and free. msgspec checks a text and skips what it has no field for, at no cost in memory, so of such a body only
those fields and keys become objects that a shape reads. For all others stands an empty value of the same kind: what is
said of a field that does not fit stays the same.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import orjson

from service.errors import BadRequest
from service.wire.documents import PrunedDocument
from service.wire.first_stage import NUMBER_LISTS
from service.wire.shape import SHAPES
from service.wire.structure import is_heavy, items_of, structure_of

_PIECE = 1 << 18
_DEEPEST = 1024  # what orjson takes
_DEEPEST_ECHO = 251  # what it writes, where a document stands in an answer
_NAMES = sorted({name for shape in SHAPES for name in shape.body.model_fields})
_OBJECTS = {"query": ["text"], "relevant_spans": ["mode", "threshold", "max_spans"]}  # and what is read of them
_LISTS = frozenset(shape.items for shape in SHAPES)
# Where a number may be too large for a float: a long exponent, or very many digits.
_DIGITS = bytes.maketrans(b"123456789E", b"000000000e")
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_HUGE = (b"e000", b"e+000", b"0" * 200)


def pruned(content: bytes, most_items: int) -> Any:
    """Returns the value of a body, with stand-ins for what is not read. Lists of over `most_items` items hold as many
    nulls. To be called in a thread: 16 MiB take some tenths of a second.

    Raises orjson.JSONDecodeError where orjson would, and BadRequest for what is nested too deeply to be skipped.
    """
    check_text(content)
    if content.lstrip(b" \t\n\r")[:1] != b"{":
        skip(content, msgspec.Raw)
        return stand_in(content)
    fields = _members(skip(content, _struct(_NAMES)), _NAMES)
    data = {name: _field(name, raw, most_items) for name, raw in fields.items() if name not in _LISTS}
    read_item = _item_reader(data)
    return data | {name: _list(raw, most_items, read_item) for name, raw in fields.items() if name in _LISTS}


def check_text(content: bytes) -> None:
    """Raises orjson.JSONDecodeError for the faults that msgspec does not see in what it skips."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for begin in range(0, len(content), _PIECE):
            decoder.decode(content[begin : begin + _PIECE])
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        _raise_fault(content)
    if _may_be_huge(content) or structure_of(content).depth > _DEEPEST:
        _raise_fault(content)


def _may_be_huge(content: bytes) -> bool:
    digits = content.translate(_DIGITS)
    return any(huge in digits for huge in _HUGE)


def _raise_fault(content: bytes) -> None:
    """Raises what orjson says of a text, if that is no JSON.

    It reads a text as a whole before it makes objects, so of one that ends wrongly it makes none.
    """
    try:
        orjson.loads(content + b"\n!")
    except orjson.JSONDecodeError as error:
        if error.msg.startswith("unexpected content") and error.pos == len(error.doc) - 1:
            return
    orjson.loads(content)


def skip(content: bytes, wanted: Any) -> Any:
    """Reads `content` as `wanted`, a type of msgspec's. Raises as `pruned` does."""
    try:
        return msgspec.json.decode(content, type=wanted)
    except (msgspec.MsgspecError, RecursionError):
        _raise_fault(content)
        raise BadRequest("The request body is nested too deeply for one of so many values; send it flatter.") from None


def _struct(names: Sequence[str]) -> type[msgspec.Struct] | None:
    """An object of which the members with these names are kept as they stand, and the others skipped. None where JSON
    has to escape a name, which msgspec has no fields for."""
    if any(_ESCAPED.search(name) for name in names):
        return None
    fields = [(f"field_{place}", msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for place, _ in enumerate(names)]
    rename = {f"field_{place}": name for place, name in enumerate(names)}
    return msgspec.defstruct("Members", fields, rename=rename, gc=False)


def _members(struct: msgspec.Struct, names: Sequence[str]) -> dict[str, bytes]:
    values = {name: getattr(struct, f"field_{place}") for place, name in enumerate(names)}
    return {name: bytes(raw) for name, raw in values.items() if raw is not msgspec.UNSET}


def _escaped_members(raw: bytes, names: Sequence[str]) -> dict[str, bytes]:
    if is_heavy(raw):
        raise BadRequest(
            "A document of so many values cannot be ranked by a key with quotes, backslashes or control characters; "
            "send it with fewer values, or name another key.",
            field="rank_fields",
        )
    members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    return {name: bytes(members[name]) for name in names if name in members}


def _field(name: str, raw: bytes, most_items: int) -> Any:
    """The value of a field that holds no documents."""
    if raw[:1] == b"[" and name in NUMBER_LISTS:
        count = items_of(raw)  # of too many only the number is told
        return [1] * count if count > most_items else _list(raw, most_items, stand_in)
    if raw[:1] == b"[" and name == "rank_fields":
        count = items_of(raw)
        return [""] * count if count > 100 else [stand_in(item) for item in skip(raw, list[msgspec.Raw])]
    if raw[:1] == b"{" and name in _OBJECTS:
        keys = _OBJECTS[name]
        return {key: stand_in(value) for key, value in _members(skip(raw, _struct(keys)), keys).items()}
    return stand_in(raw)


def stand_in(raw: bytes | msgspec.Raw) -> Any:
    """A string, number, boolean or null as it is, and an empty list or object in place of another."""
    content = bytes(raw).strip(b" \t\n\r")
    kind = content[:1]
    return [] if kind == b"[" else {} if kind == b"{" else orjson.loads(content)


def _list(raw: bytes, most: int, read_item: Callable[[bytes], Any]) -> Any:
    if raw[:1] != b"[":
        return stand_in(raw)
    count = items_of(raw)
    if count > most:
        return [None] * count
    return [read_item(bytes(item)) for item in skip(raw, list[msgspec.Raw])]


def _item_reader(data: dict[str, Any]) -> Callable[[bytes], Any]:
    """How items are read under the other fields of a body: objects without what these do not ask for."""
    ranked = data.get("rank_fields")
    keys = [key for key in ranked if isinstance(key, str)] if isinstance(ranked, list) else []
    names = list(dict.fromkeys(["text", *keys]))[:101]
    struct, echoed = _struct(names), data.get("return_documents") not in (None, False)

    def read(raw: bytes) -> Any:
        if raw[:1] != b"{":
            return stand_in(raw)
        members = _escaped_members(raw, names) if struct is None else _members(skip(raw, struct), names)
        document = PrunedDocument({name: stand_in(value) for name, value in members.items()})
        if echoed:
            document.json = _echo(raw)
        return document

    return read


def _echo(raw: bytes) -> bytes | None:
    """An object as results repeat it: one of very many values as it was sent, others as they are always written."""
    if structure_of(raw).depth > _DEEPEST_ECHO:
        return None
    return raw if is_heavy(raw) else orjson.dumps(orjson.loads(raw))
