"""Files of ids, one per line, for example of documents that must not be used for training because an evaluation uses
them."""

from __future__ import annotations

from pathlib import Path

from cli.errors import BadInput
from retrieval.encoding import check_encoding


def read_ids(path: Path | None) -> frozenset[str]:
    """The ids in a UTF-8 file, one per line; empty without a path. Raises `BadInput` when the file cannot be read."""
    if path is None:
        return frozenset()
    try:
        check_encoding(path)
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); give a file of document ids, one a line.") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: cannot be read ({error}); give document ids, one a line, in UTF-8.") from None
    return frozenset(line.strip() for line in lines if line.strip())
