"""What a filter is."""

from __future__ import annotations

from typing import Protocol

from contract.records import Record


class Filter(Protocol):
    name: str

    def reason(self, record: Record) -> str | None:
        """Why the record should be dropped, as a short phrase that many records can share; None to keep it."""
        ...
