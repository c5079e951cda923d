"""How long the text of each call took to be turned into ids, as the engine tells it from whichever thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class EncodingTimes:
    """Adds up the seconds of the calls that are watched; what is told of others is dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def watch(self, call: str) -> Iterator[Callable[[], float]]:
        """Add up what is told of `call` meanwhile; the function yielded returns it. A call may be watched once."""
        with self._lock:
            self._seconds[call] = 0.0
        try:
            yield lambda: self._seconds[call]
        finally:
            with self._lock:
                del self._seconds[call]

    def add(self, call: str, seconds: float) -> None:
        """A part of `call` took so long. Safe from every thread."""
        with self._lock:
            if call in self._seconds:
                self._seconds[call] += seconds
