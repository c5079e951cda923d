"""The version of the installed distribution."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """The version of the installed distribution; `unknown` when the code runs from a folder that is not installed."""
    try:
        return version("limrank")
    except PackageNotFoundError:
        return "unknown"
