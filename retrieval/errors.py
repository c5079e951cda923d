"""Errors in reading data that programs handle differently; the others are in `cli.errors`."""

from __future__ import annotations

from cli.errors import BadInput


class MissingData(BadInput):
    """A missing file or split. The evaluation reports such a benchmark as not run."""
