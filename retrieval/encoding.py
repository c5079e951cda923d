"""The encoding of text files: UTF-8, with or without a byte order mark; files in other encodings are refused."""

from __future__ import annotations

import codecs
from pathlib import Path

from cli.errors import BadInput

_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def check_encoding(path: Path) -> None:
    """Raises `BadInput` for a file in UTF-16 or UTF-32, recognised by its byte order mark or by the zero bytes of its
    first characters; `OSError` as `open` does."""
    with path.open("rb") as file:
        begin = file.read(4)
    name = next((name for mark, name in _MARKS if begin.startswith(mark)), None)
    if name is None and 0 in begin:
        name = "UTF-16 or UTF-32"
    if name is not None:
        raise BadInput(f"{path} is in {name}; convert it to UTF-8, as with `iconv --from-code UTF-16 --to-code UTF-8`.")


def not_utf8(error: UnicodeDecodeError) -> str:
    """Describes the problem of a line that is not UTF-8, for use in a sentence."""
    return f"not UTF-8 at byte {error.start} of the line."
