"""Tells a listener what comes of a call's prompts, as verdicts on its documents and pieces of their reasoning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from service.engine import Completion, PartialOutput
from service.ranking import Listener, Ranked, ReasoningPiece


@dataclass(slots=True)
class Telling:
    """A `service.scheduling.work.Progress` of a call each of whose prompts is one document.

    `ranked` reads a completion.
    """

    listener: Listener
    reasoning: bool
    ranked: Callable[[Completion], Ranked]
    _written: dict[int, int] = field(default_factory=dict)  # code points of reasoning told, by prompt

    def wrote(self, piece: PartialOutput) -> None:
        """See `Progress`."""
        offset = self._written.get(piece.index, 0)
        self._written[piece.index] = offset + len(piece.text)
        self.listener.reasoned(ReasoningPiece(piece.index, offset, piece.text, piece.tokens))

    def again(self, index: int) -> None:
        """See `Progress`."""
        self._written.pop(index, None)

    def scored(self, completion: Completion) -> None:
        """See `Progress`."""
        self._written.pop(completion.index, None)
        self.listener.ranked(self.ranked(completion))
