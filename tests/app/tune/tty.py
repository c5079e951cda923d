"""A terminal that keeps what is written to it."""

from __future__ import annotations

import io


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True
