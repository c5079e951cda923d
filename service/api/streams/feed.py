"""What a call has told and its client has not been sent yet."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from service.ranking import Chunk, Ranked, ReasoningPiece

Told = Ranked | ReasoningPiece


class Feed:
    """A `service.ranking.Listener`. Runs on one event loop.

    What waits is bounded by the call itself: a document is told once, and pieces of its reasoning that follow each
    other are joined while they wait.
    """

    def __init__(self) -> None:
        self._waiting: list[Told] = []
        self._open: dict[tuple[int, Chunk | None], int] = {}  # where the last piece of a text waits
        self._news = asyncio.Event()
        self._closed = False

    def reasoned(self, piece: ReasoningPiece) -> None:
        if self._closed:
            return
        key = (piece.index, piece.chunk)
        place = self._open.get(key)
        if place is not None and (joined := _joined(self._waiting[place], piece)) is not None:
            self._waiting[place] = joined
            return
        self._open[key] = len(self._waiting)
        self._add(piece)

    def ranked(self, ranked: Ranked) -> None:
        if not self._closed:
            self._add(ranked)

    def close(self) -> None:
        """Nothing more is told."""
        self._closed = True
        self._news.set()

    async def begun(self) -> bool:
        """Returns True once something waits, False where it was closed before."""
        await self._news.wait()
        return bool(self._waiting)

    async def take(self) -> list[Told]:
        """Everything that waits, as soon as there is something; [] once it is closed."""
        await self._news.wait()
        taken, self._waiting = self._waiting, []
        self._open.clear()
        if not self._closed:
            self._news.clear()
        return taken

    def _add(self, told: Told) -> None:
        self._waiting.append(told)
        self._news.set()


def _joined(before: Told, piece: ReasoningPiece) -> ReasoningPiece | None:
    """Both as one piece, where the second begins at the end of the first."""
    if not isinstance(before, ReasoningPiece) or before.offset + len(before.text) != piece.offset:
        return None
    return replace(before, text=before.text + piece.text, tokens=piece.tokens)
