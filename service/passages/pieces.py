"""The pieces of documents that are scored one by one, and what their verdicts say of the documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from service.errors import EngineFailed
from service.ranking import Chunk, Span, SpansWanted, Verdict


class Kind(Enum):
    """What a piece is scored for: the `whole` document, a `chunk` of it, or a `span` that may be returned."""

    WHOLE = auto()
    CHUNK = auto()
    SPAN = auto()


@dataclass(frozen=True, slots=True)
class Piece:
    """What of the document with this index is scored: code points of its passage, half-open."""

    document: int
    start: int
    end: int
    kind: Kind

    @property
    def chunk(self) -> Chunk | None:
        return Chunk(self.start, self.end) if self.kind is Kind.CHUNK else None


class Pieces:
    """All pieces of a call: of each document those that it is read in, then its spans.

    `cut`: documents of which something is not read at all.
    """

    def __init__(self, pieces: Sequence[Piece], cut: frozenset[int]) -> None:
        self.all = pieces
        self.cut = cut
        self.spans = frozenset(place for place, piece in enumerate(pieces) if piece.kind is Kind.SPAN)
        self._of: dict[int, list[int]] = {}
        for place, piece in enumerate(pieces):
            self._of.setdefault(piece.document, []).append(place)

    def of(self, document: int) -> Sequence[int]:
        """The places of a document's pieces."""
        return self._of[document]

    @property
    def read(self) -> list[list[int]]:
        """Of each document the places of the pieces that it is read in."""
        return [[place for place in places if place not in self.spans] for places in self._of.values()]

    def documents(
        self, verdicts: Sequence[Verdict], wanted: SpansWanted | None, best: Sequence[int] | None = None
    ) -> list[Verdict]:
        """The verdicts on all documents, from those on all pieces, in their order. `best`: the place of each one's best
        piece, where that is not the one of the highest score."""
        of_each = [[verdicts[place] for place in places] for places in self._of.values()]
        chosen = [None if best is None else verdicts[place] for place in (best or self._of)]
        return [self.document(of, wanted, one) for of, one in zip(of_each, chosen, strict=True)]

    def document(self, verdicts: Sequence[Verdict], wanted: SpansWanted | None, best: Verdict | None = None) -> Verdict:
        """The verdict on a document, from those on its pieces: that of the best of those it is read in."""
        read = [verdict for verdict in verdicts if verdict.index not in self.spans]
        best = best or max(read, key=lambda verdict: verdict.log_odds)  # of equals the first
        piece = self.all[best.index]
        return replace(
            best,
            index=piece.document,
            prompt_tokens=sum(verdict.prompt_tokens for verdict in verdicts),
            cached_tokens=sum(verdict.cached_tokens for verdict in verdicts),
            reasoning_tokens=sum(verdict.reasoning_tokens for verdict in verdicts),
            told_tokens=best.reasoning_tokens,
            truncated=piece.document in self.cut or any(verdict.truncated for verdict in read),
            chunk=piece.chunk,
            spans=() if wanted is None else self._best_spans(verdicts, wanted),
        )

    def of_documents(self, error: EngineFailed) -> EngineFailed:
        """The error with the indices of documents in place of those of pieces."""
        return error.at([piece.document for piece in self.all])

    def _best_spans(self, verdicts: Sequence[Verdict], wanted: SpansWanted) -> tuple[Span, ...]:
        scored = (
            Span(self.all[verdict.index].start, self.all[verdict.index].end, verdict.relevance)
            for verdict in verdicts
            if verdict.index in self.spans and verdict.relevance >= wanted.threshold
        )
        return tuple(sorted(scored, key=lambda span: (-span.score, span.start))[: wanted.most])
