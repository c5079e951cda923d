"""Finds texts of users in what was logged, also where they were escaped on the way."""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

WINDOW = 12  # characters in a row that cannot be there by chance


def leaks(log: str, texts: Iterable[str]) -> list[str]:
    """The parts of `texts` that stand in `log`; texts shorter than a window are looked for whole."""
    return [part for text in texts for part in _parts(text) if any(form in log for form in _forms(part))]


def _parts(text: str) -> list[str]:
    return [text[start : start + WINDOW] for start in range(max(1, len(text) - WINDOW + 1))]


def _forms(part: str) -> set[str]:
    """As it is, and as JSON, a JSON string within JSON, Python's repr and URLs write it."""
    escaped = json.dumps(part)[1:-1]
    urls = {quote(part, errors="replace"), quote_plus(part, errors="replace")}
    return {part, escaped, json.dumps(escaped)[1:-1], repr(part)[1:-1], json.dumps(repr(part))[2:-2], *urls}
