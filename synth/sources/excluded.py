"""Documents that may not be trained on, by id: those that another evaluation uses, say."""

from __future__ import annotations

from pathlib import Path

from synth.errors import BadInput


def excluded_ids(path: Path | None) -> frozenset[str]:
    """The ids in a file, one a line. Raises `BadInput` where it cannot be read."""
    if path is None:
        return frozenset()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); give a file of document ids, one a line.") from None
    return frozenset(line.strip() for line in lines if line.strip())
