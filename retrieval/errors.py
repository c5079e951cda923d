"""Errors of reading data that the programs treat differently; the others are in `cli.errors`."""

from __future__ import annotations

from cli.errors import BadInput


class MissingData(BadInput):
    """A file or a split that is not there. The evaluation reports such a benchmark as not run."""
