"""Documents that are objects: the passage that is scored, and the object that is sent back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import orjson
from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from service.errors import BadRequest
from service.wire.fields import json_kind
from service.wire.structure import is_heavy

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


class PrunedDocument(dict[str, Any]):
    """An object document without the keys that nothing is ranked by.

    `json`: the whole object as it was sent; None where it is nested too deeply for an answer, or need not come back.
    """

    json: bytes | None = None


def echo(document: str | bytes) -> Document:
    """Returns what `kept` made, as results carry it: always an object with `text`, further keys unchanged."""
    if isinstance(document, str):
        return {"text": document}
    return cast(Document, orjson.Fragment(document))


def kept(document: str | dict[str, Any], scored: str, field: str) -> str | bytes:
    """Returns `document` as it is held until it is sent back: a string, or JSON, which takes far less memory than the
    objects. Raises BadRequest if results could not carry it: the JSON writer stops at 254 levels."""
    if isinstance(document, str):
        return document
    try:
        if isinstance(document, PrunedDocument):
            return _whole(document, scored)
        whole = document if document.get("text") is not None else {**document, "text": scored}
        return orjson.dumps([[[whole]]])[3:-3]  # where it will stand: in an object, of a list, of an object
    except orjson.JSONEncodeError:
        raise BadRequest(
            f"{field} is nested deeper than an answer can be; send it flatter, or without return_documents.",
            field=field,
        ) from None


def _whole(document: PrunedDocument, scored: str) -> bytes:
    if document.json is None:
        raise orjson.JSONEncodeError
    if document.get("text") is not None:
        return document.json
    if not is_heavy(document.json):
        return orjson.dumps(orjson.loads(document.json) | {"text": scored})
    # A null `text` stands before this one, and the last of repeated keys counts.
    return document.json.rstrip()[:-1] + b',"text":' + orjson.dumps(scored) + b"}"


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
