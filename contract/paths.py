"""Paths as people write them: with `~` for a home, and sometimes such as no file can have."""

from __future__ import annotations

from pathlib import Path


def at_home(path: str | Path) -> Path:
    """`path` with `~` replaced by the home that it stands for; as it is where there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def standing(path: str | Path) -> Path | None:
    """What stands at `path`, with `~` replaced; None where there is nothing, or no file can have that name."""
    found = at_home(path)
    try:
        return found if found.exists() else None
    except (OSError, ValueError, RuntimeError):  # too long, a null character, a loop of links
        return None
