"""What stands beside a file of records or groups, as `FILE.about.json`: written and read by synth and trainer."""

from __future__ import annotations

import json
from pathlib import Path


class AboutError(ValueError):
    """What stands beside a file cannot be read. The message is a sentence."""


def beside(file: Path) -> Path:
    """Where it stands."""
    return file.with_name(f"{file.name}.about.json")


def state_cost(file: Path, cost: float) -> None:
    """Write beside `file`, whole or not at all, what it came to; in place of what was said there of an earlier one.
    Raises `OSError`."""
    path = beside(file)
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(json.dumps({"cost": cost}) + "\n", encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def stated_cost(file: Path) -> float:
    """What is said there that the file came to; 0 where nothing stands beside it. Raise `AboutError` for no number."""
    path = beside(file)
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["cost"])
    except FileNotFoundError:
        return 0.0
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise AboutError(
            f"{path} does not say what {file.name} cost ({type(error).__name__}: {error}); correct or remove it."
        ) from None
