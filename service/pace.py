"""How fast the model is here, measured as it works: what a deadline leaves time for."""

from __future__ import annotations

_WEIGHT = 0.3  # of a new measurement


class Pace:
    """Seconds per token of a pack and per decoding step. Before the first measurement they are 0."""

    def __init__(self) -> None:
        self.token_seconds = 0.0
        self.step_seconds = 0.0

    def packed(self, tokens: int, seconds: float) -> None:
        """A pack of `tokens` took `seconds`."""
        self.token_seconds = _smoothed(self.token_seconds, seconds / tokens)

    def stepped(self, seconds: float) -> None:
        """A decoding step took `seconds`."""
        self.step_seconds = _smoothed(self.step_seconds, seconds)


def _smoothed(before: float, seconds: float) -> float:
    return seconds if not before else (1 - _WEIGHT) * before + _WEIGHT * seconds
