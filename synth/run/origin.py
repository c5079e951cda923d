"""The origin that every record of a run states."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """`licence` is an SPDX expression of everything that went into the records; see `contract.records.Record`."""

    source: str
    licence: str
