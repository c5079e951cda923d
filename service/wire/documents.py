"""Documents that are objects: the passage they stand for, and what of them is sent back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from service.errors import BadRequest
from service.wire.fields import json_kind

_LONGEST_KEY_SHOWN = 40


def passage(document: dict[str, Any], rank_fields: Sequence[str] | None, field: str) -> str:
    """The text of `document` that is scored. Raises BadRequest naming the key under `field` that does not fit.

    Without `rank_fields`, or with one, the value itself: `text`, or that key's. With several, a line `key: value` for
    each that the document has, in the order of `rank_fields`, as in Cohere's YAML documents. null = absent.
    """
    text = document.get("text")
    if text is not None and not isinstance(text, str):
        raise BadRequest(f"{field}.text must be a string, got {json_kind(text)}.", field=f"{field}.text")
    if rank_fields:
        return _ranked_fields(document, rank_fields, field)
    if text is None:
        raise BadRequest(f"{field}.text is missing; send it, or name other keys in rank_fields.", field=f"{field}.text")
    return text


def echo(document: str | dict[str, Any], scored: str) -> dict[str, Any]:
    """`document` as results carry it: always an object with `text`, further keys as they came."""
    if isinstance(document, str):
        return {"text": document}
    return document if document.get("text") is not None else {**document, "text": scored}


def check_echo(document: str | dict[str, Any], field: str) -> None:
    """Raise BadRequest when results could not carry `document`: the JSON writer stops at 254 levels."""
    try:
        orjson.dumps([[[document]]])  # where it will stand: in an object, of a list, of an object
    except orjson.JSONEncodeError:
        raise BadRequest(
            f"{field} is nested deeper than an answer can be; send it flatter, or without return_documents.",
            field=field,
        ) from None


def _ranked_fields(document: dict[str, Any], rank_fields: Sequence[str], field: str) -> str:
    present = [key for key in rank_fields if document.get(key) is not None]
    if not present:
        raise BadRequest(f"{field} has none of the keys named in rank_fields.", field=field)
    values = [_scalar(document[key], f"{field}.{_short(key)}") for key in present]
    if len(rank_fields) == 1:
        return values[0]
    return "\n".join(f"{key}: {value}" for key, value in zip(present, values, strict=True))


def _short(key: str) -> str:
    """A key as errors name it: the caller chose it, so it may be as long as a body."""
    return key if len(key) <= _LONGEST_KEY_SHOWN else f"{key[:_LONGEST_KEY_SHOWN]}..."


def _scalar(value: object, field: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise BadRequest(
        f"{field} must be a string, a number or a boolean to be ranked on, got {json_kind(value)}.", field=field
    )
