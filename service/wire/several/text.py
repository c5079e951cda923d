"""The text of what questions are asked about, and of their instructions: strings, messages and JSON as one text."""

from __future__ import annotations

from typing import Any

import orjson

from service.errors import BadRequest, EmptyList
from service.wire.fields import json_kind

_TEXT_PARTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
# The key of each item of an `input` that holds its text.
_ITEMS = {
    "message": "content",
    "function_call": "arguments",
    "function_call_output": "output",
    "custom_tool_call": "input",
    "custom_tool_call_output": "output",
}
_LONGEST_TYPE = 40


def text_of_input(value: object, field: str) -> str:
    """Returns an `input` as text: a string as it is; of a list of messages, calls and outputs the text of the one, and
    of several a line `role: text` for each. Raises BadRequest for images and what is no text."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise _must(field, "a string or a list of messages", value)
    if not value:
        raise EmptyList(f"{field} must not be empty; send at least one.", field=field)
    items = [_item(item, f"{field}[{place}]") for place, item in enumerate(value)]
    return items[0][1] if len(items) == 1 else "\n".join(f"{who}: {text}" for who, text in items)


def text_of_state(value: object, field: str) -> str:
    """Returns a `state` as text: a string as it is, a list of strings as lines, other JSON as JSON. Raises BadRequest
    for a number, a boolean and null."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list | dict):
        raise _must(field, "a string, an object or a list", value)
    if isinstance(value, list) and value and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    return _json(value, field)


def text_of_instructions(value: object, field: str) -> str:
    """Returns instructions as text: a string, parts of text and JSON, or JSON. Raises BadRequest for blank ones."""
    text = _text(value, field) if _is_parts(value) else text_of_state(value, field)
    if value in ([], {}) or not text or text.isspace():
        raise BadRequest(f"{field} must not be empty or only white space.", field=field)
    return text


def _is_parts(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(part, dict) and "type" in part for part in value)


def _item(item: object, field: str) -> tuple[str, str]:
    """Who an item is from, and its text."""
    if not isinstance(item, dict):
        raise _must(field, "an object", item)
    kind = item.get("type") or "message"
    key = _ITEMS.get(kind) if isinstance(kind, str) else None
    if key is None:
        raise _no_text(f"{field}.type", kind, ", ".join(_ITEMS))
    text = _text(item.get(key), f"{field}.{key}")
    if kind == "message":
        role = item.get("role")
        if not isinstance(role, str):
            raise _must(f"{field}.role", "a string", role)
        return role[:_LONGEST_TYPE], text
    name = item.get("name")
    return (f"{kind} {name[:_LONGEST_TYPE]}" if isinstance(name, str) else str(kind)), text


def _text(value: object, field: str) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise _must(field, "a string or a list of parts", value)
    return "\n".join(_part(part, f"{field}[{place}]") for place, part in enumerate(value))


def _part(part: object, field: str) -> str:
    if not isinstance(part, dict):
        raise _must(field, "an object", part)
    kind = part.get("type")
    if kind == "input_json":
        return _json(part.get("data"), f"{field}.data")
    key = _TEXT_PARTS.get(kind) if isinstance(kind, str) else None
    if key is None:
        raise _no_text(f"{field}.type", kind, ", ".join((*_TEXT_PARTS, "input_json")))
    text = part.get(key)
    if not isinstance(text, str):
        raise _must(f"{field}.{key}", "a string", text)
    return text


def _json(value: Any, field: str) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        raise BadRequest(f"{field} is nested too deeply to be written as text; send it flatter.", field=field) from None


def _must(field: str, kind: str, value: object) -> BadRequest:
    if value is None:
        return BadRequest(f"{field} is missing; send {kind}.", field=field)
    return BadRequest(f"{field} must be {kind}, got {json_kind(value)}.", field=field)


def _no_text(field: str, kind: object, known: str) -> BadRequest:
    shown = repr(kind[:_LONGEST_TYPE]) if isinstance(kind, str) else "absent" if kind is None else json_kind(kind)
    return BadRequest(f"{field} is {shown}, and this model reads text only: {known}.", field=field)
