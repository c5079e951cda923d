"""The filter protocol."""

from __future__ import annotations

from typing import Protocol

from contract.records import Record


class Filter(Protocol):
    name: str

    def reason(self, record: Record) -> str | None:
        """The reason to drop the record, a short phrase that many records can share; None to keep it."""
        ...
