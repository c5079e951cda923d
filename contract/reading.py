"""The key under which two texts read the same to a person, whatever their ids.

Queries and passages are compared by this key wherever a duplicate would do harm: a positive's own text among its
negatives, one query under two ids, a document that is the query itself.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))  # soft hyphen, zero-width space, joiner, BOM


def reading_key(text: str) -> str:
    """The text in NFC and lower case, with runs of white space as one blank and without invisible characters."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text).translate(_INVISIBLE)
        return " ".join(unicodedata.normalize("NFC", text.casefold()).split())
    return " ".join(text.lower().split())


def read_same(one: str, other: str) -> bool:
    """Whether two texts have the same key."""
    return one == other or reading_key(one) == reading_key(other)


def ids_by_reading(texts: Mapping[str, str], wanted: Iterable[str]) -> dict[str, list[str]]:
    """Maps each of the `wanted` keys to the ids of the `texts` (id -> text) that have it. Other keys are left out."""
    found: dict[str, list[str]] = {key: [] for key in wanted}
    for text_id, text in texts.items():
        if (ids := found.get(reading_key(text))) is not None:
            ids.append(text_id)
    return found
