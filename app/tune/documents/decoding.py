"""The text of a file in whatever encoding it has: by its mark, by what HTML states, as UTF-8, else as Windows-1252."""

from __future__ import annotations

import codecs
import re

from app.tune.documents.document import Unreadable

_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_STATED = re.compile(rb"""<(?:meta|\?xml)[^>]*?(?:charset|encoding)\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE)
_LOOKED_AT = 4096
_CONTROLS = dict.fromkeys(range(32)) | {ord("\t"): "\t", ord("\n"): "\n", ord("\r"): None, ord("\f"): "\n"}


def decoded(content: bytes, *, markup: bool = False) -> tuple[str, str | None]:
    """The text with plain line ends and without control characters, and the encoding where it had to be guessed.

    Raises `Unreadable` for what is no text.
    """
    stated = _STATED.search(content[:_LOOKED_AT]) if markup else None
    for mark, name in _MARKS:
        if content.startswith(mark):
            return _clean(content.decode(name, "replace")), None
    if 0 in content[:_LOOKED_AT]:
        raise Unreadable("is no text (it holds zero bytes)")
    try:
        return _clean(content.decode("utf-8")), None
    except UnicodeDecodeError:
        known = _known(stated.group(1).decode("ascii") if stated else "")
        return _clean(content.decode(known or "cp1252", "replace")), None if known else "Windows-1252"


def _known(name: str) -> str | None:
    try:
        codec = codecs.lookup(name)
    except LookupError:
        return None
    return codec.name if codec._is_text_encoding else None


def _clean(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_CONTROLS)
