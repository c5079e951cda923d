"""The tokens that end a text, from what a checkpoint folder says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from contract.segments import Segments


def end_ids(folder: Path, segments: Segments) -> frozenset[int]:
    """Those its settings name, and every special token outside the close."""
    named = [_eos(folder / name) for name in ("generation_config.json", "config.json")]
    added = segments.tokenizer.get_added_tokens_decoder()
    special = {i for i, token in added.items() if token.special}
    return frozenset(({i for ids in named for i in ids} | special) - set(segments.close))


def _eos(path: Path) -> list[int]:
    value: Any = json.loads(path.read_text()).get("eos_token_id") if path.is_file() else None
    return [] if value is None else [value] if isinstance(value, int) else list(value)
