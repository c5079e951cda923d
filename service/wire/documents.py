"""Documents that are objects: the passage that is scored, and the object that is sent back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import orjson
from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from service.errors import BadRequest
from service.wire.fields import json_kind

_LONGEST_KEY_SHOWN = 40


@with_config(ConfigDict(extra="allow"))
class Document(TypedDict):
    """The document as it was sent: its `text`, and the further keys of an object."""

    text: str


def passage(document: dict[str, Any], rank_fields: Sequence[str] | None, field: str) -> str:
    """Returns the text of `document` to score. Raises BadRequest naming the key under `field` that does not fit.

    Without `rank_fields` that is the value of `text`, with one of them that key's value. With several it is a line
    `key: value` for each that the document has, in the order of `rank_fields`, as in Cohere's YAML documents.
    null = absent.
    """
    text = document.get("text")
    if text is not None and not isinstance(text, str):
        raise BadRequest(f"{field}.text must be a string, got {json_kind(text)}.", field=f"{field}.text")
    if rank_fields:
        return _ranked_fields(document, rank_fields, field)
    if text is None:
        raise BadRequest(f"{field}.text is missing; send it, or name other keys in rank_fields.", field=f"{field}.text")
    return text


def echo(document: str | dict[str, Any], scored: str) -> Document:
    """Returns `document` as results carry it: always an object with `text`, further keys unchanged."""
    if isinstance(document, str):
        return {"text": document}
    return cast(Document, document if document.get("text") is not None else {**document, "text": scored})


def check_echo(document: str | dict[str, Any], field: str) -> None:
    """Raises BadRequest if results could not carry `document`: the JSON writer stops at 254 levels."""
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
    """Shortens a key for an error: the caller chose it, so it may be as long as a body."""
    return key if len(key) <= _LONGEST_KEY_SHOWN else f"{key[:_LONGEST_KEY_SHOWN]}..."


def _scalar(value: object, field: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise BadRequest(
        f"{field} must be a string, a number or a boolean to be ranked on, got {json_kind(value)}.", field=field
    )
