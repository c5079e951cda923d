"""How fast the model is here, measured as it works: what a deadline leaves time for."""

from __future__ import annotations

_FADING = 0.7  # what remains of earlier measurements with each new one
_SMALL = 512, 0.1  # tokens and seconds: a pack below both took what a step takes, whatever is in it


class Pace:
    """Seconds per token of a pack and per decoding step. Before the first measurement they are 0."""

    def __init__(self) -> None:
        self._pack_tokens = self._pack_seconds = 0.0
        self._steps = self._steps_seconds = 0.0

    @property
    def token_seconds(self) -> float:
        return self._pack_seconds / self._pack_tokens if self._pack_tokens else 0.0

    @property
    def step_seconds(self) -> float:
        return self._steps_seconds / self._steps if self._steps else 0.0

    def packed(self, tokens: int, seconds: float) -> None:
        """A pack of `tokens` took `seconds`. Large packs count for more: small ones are mostly overhead, and once
        something is known those that look slower say nothing."""
        small = tokens < _SMALL[0] and seconds < _SMALL[1]
        if small and self._pack_tokens and seconds > tokens * self.token_seconds:
            return
        self._pack_tokens = _FADING * self._pack_tokens + tokens
        self._pack_seconds = _FADING * self._pack_seconds + seconds

    def stepped(self, seconds: float) -> None:
        """A decoding step took `seconds`."""
        self._steps = _FADING * self._steps + 1
        self._steps_seconds = _FADING * self._steps_seconds + seconds
