"""The fields that every imported record has and its file does not state."""

from __future__ import annotations

from dataclasses import dataclass

from contract.records import Difficulty, Intent


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """`source` begins every id; `licence` is an SPDX expression, see `contract.records.Record`."""

    source: str
    licence: str
    domain: str = "general"
    difficulty: Difficulty = Difficulty.DIRECT
    intent: Intent = Intent.DIRECT
