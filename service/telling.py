"""Tells a listener what comes of a call's prompts, as verdicts on its documents and pieces of their reasoning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from service.engine import Completion, PartialOutput
from service.passages.pieces import Pieces
from service.ranking import Listener, Ranked, ReasoningPiece


@dataclass(slots=True)
class Telling:
    """A `service.scheduling.work.Progress` of a call. `ranked` reads the completions of one document's prompts, in
    their order; `pieces` are those of its documents, None where each of its prompts is one document."""

    listener: Listener
    reasoning: bool
    ranked: Callable[[Sequence[Completion]], Ranked]
    pieces: Pieces | None = None
    least: float | None = None  # the relevance below which a document is not told
    _scored: dict[int, dict[int, Completion]] = field(default_factory=dict)  # of documents that are not told yet
    _written: dict[int, int] = field(default_factory=dict)  # code points of reasoning told, by prompt

    def wrote(self, piece: PartialOutput) -> None:
        """See `Progress`."""
        offset = self._written.get(piece.index, 0)
        self._written[piece.index] = offset + len(piece.text)
        of = None if self.pieces is None else self.pieces.all[piece.index]
        document, chunk = (piece.index, None) if of is None else (of.document, of.chunk)
        self.listener.reasoned(ReasoningPiece(document, offset, piece.text, piece.tokens, chunk))

    def again(self, index: int) -> None:
        """See `Progress`."""
        self._written.pop(index, None)

    def scored(self, completion: Completion) -> None:
        """See `Progress`."""
        self._written.pop(completion.index, None)
        if self.pieces is None:
            self._tell(self.ranked([completion]))
            return
        document = self.pieces.all[completion.index].document
        scored = self._scored.setdefault(document, {})
        scored[completion.index] = completion
        places = self.pieces.of(document)
        if len(scored) == len(places):
            del self._scored[document]
            self._tell(self.ranked([scored[place] for place in places]))

    def _tell(self, ranked: Ranked) -> None:
        if self.least is None or ranked.relevance >= self.least:
            self.listener.ranked(ranked)
