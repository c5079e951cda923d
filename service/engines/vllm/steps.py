"""How far vLLM is with its start, by what it logs.

vLLM starts in processes of its own, and what it tells of its start is its log. How long a step takes is not known
beforehand, so the number of steps is all that can be said of what is left.
"""

from __future__ import annotations

import logging
from pathlib import Path

from service.telemetry.logs import ErrorFile

# What begins each step but the first, as parts of vLLM's messages, and its name.
STEPS = (
    ((), "starting its processes"),
    (("Starting to load model", "Loading model from scratch"), "loading the weights"),
    (("Model loading took", "Warming up model for the compilation"), "measuring memory and compiling"),
    (("KV cache size: ", "Compile and warming up model"), "warming up"),
)


class StepFile(ErrorFile):
    """A log file to which each message that begins a step adds the number of it, and no others anything."""

    def emit(self, record: logging.LogRecord) -> None:
        if _begun_by(str(record.msg)):
            super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        return str(_begun_by(str(record.msg)))


def step_now(file: Path) -> str:
    """The step that the furthest process is at, as "2 of 4: loading the weights"."""
    try:
        begun = max(map(int, file.read_text().split()), default=0)
    except (OSError, ValueError):  # not begun, or a line that is being written
        begun = 0
    return f"{begun + 1} of {len(STEPS)}: {STEPS[begun][1]}"


def _begun_by(message: str) -> int:
    """The index of the step that a message begins; 0 for one that begins none."""
    return next((number for number, (signs, _) in enumerate(STEPS) if any(sign in message for sign in signs)), 0)
