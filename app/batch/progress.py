"""Progress of a batch: a line that is redrawn on a terminal, or one log line every 30 seconds; a summary at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TextIO

from app.batch.calls import Call
from app.batch.results import Outcome

_TERMINAL_SECONDS = 0.5
_LOG_SECONDS = 30.0


@dataclass(slots=True)
class Progress:
    """Counts what this run did. `total` is the number of calls to answer."""

    total: int
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    answered: int = 0
    failed: int = 0
    documents: int = 0
    tokens: dict[str, int] = field(default_factory=lambda: {"prompt": 0, "cached": 0, "reasoning": 0})
    _begun: float = 0.0
    _next: float = 0.0

    def __post_init__(self) -> None:
        self._begun = self.clock()
        self._next = self._begun + (0 if self.stream.isatty() else _LOG_SECONDS)

    @property
    def seconds(self) -> float:
        return max(self.clock() - self._begun, 1e-9)

    def count(self, call: Call, outcome: Outcome) -> None:
        """Adds one finished call, and prints progress when it is due."""
        if outcome.error is None:
            self.add(1, 0, call.documents, tokens_of(outcome.body))
        else:
            self.add(0, 1, 0, {})

    def add(self, answered: int, failed: int, documents: int, tokens: dict[str, int]) -> None:
        """Adds finished calls, and prints progress when it is due."""
        self.answered += answered
        self.failed += failed
        self.documents += documents
        for kind, count in tokens.items():
            self.tokens[kind] += count
        if (now := self.clock()) >= self._next:
            terminal = self.stream.isatty()
            self._next = now + (_TERMINAL_SECONDS if terminal else _LOG_SECONDS)
            self.stream.write(f"\r{self.line()}\x1b[K" if terminal else f"{self.line()}\n")
            self.stream.flush()

    def line(self) -> str:
        """Progress so far and the estimated time left."""
        ended = self.answered + self.failed
        left = duration(self.seconds / ended * (self.total - ended)) if ended else "?"
        return (
            f"{ended:,} of {self.total:,} calls  {self.documents:,} documents  "
            f"{self.documents / self.seconds:,.1f} a second  {self.failed:,} failed  {left} left"
        )

    def close(self) -> None:
        """Clears the progress line of a terminal."""
        if self.stream.isatty():
            self.stream.write("\r\x1b[K")
            self.stream.flush()

    def summary(self) -> str:
        """Totals of the run."""
        tokens = self.tokens
        return (
            f"{self.answered:,} calls answered in {duration(self.seconds)}: {self.documents:,} documents, "
            f"{self.documents / self.seconds:,.1f} a second; {tokens['prompt']:,} prompt tokens "
            f"({tokens['cached']:,} of them cached), {tokens['reasoning']:,} of reasoning"
        )


def tokens_of(body: Any) -> dict[str, int]:
    """Token counts of an answer; empty for the shape of text-embeddings-inference, which has none."""
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return {}
    prompt = int(usage.get("prompt_tokens", 0))
    return {
        "prompt": prompt,
        "cached": int(usage.get("cached_tokens", 0)),
        "reasoning": int(usage.get("total_tokens", prompt)) - prompt,
    }


def duration(seconds: float) -> str:
    """Formats a duration: `8.3 s`, `12 min`, `3 h 20 min`."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
