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

    def documents(self, verdicts: Sequence[Verdict], wanted: SpansWanted | None) -> list[Verdict]:
        """The verdicts on all documents, from those on all pieces, in their order."""
        return [self.document([verdicts[place] for place in places], wanted) for places in self._of.values()]

    def document(self, verdicts: Sequence[Verdict], wanted: SpansWanted | None) -> Verdict:
        """The verdict on a document, from those on its pieces: that of the best of those it is read in."""
        read = [verdict for verdict in verdicts if verdict.index not in self.spans]
        best = max(read, key=lambda verdict: verdict.log_odds)  # of equals the first
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
        documents = sorted({self.all[place].document for place in error.indices})
        told = EngineFailed(f"The engine could not score document {documents[0]}, also when it was alone.", documents)
        told.begun = error.begun
        return told

    def _best_spans(self, verdicts: Sequence[Verdict], wanted: SpansWanted) -> tuple[Span, ...]:
        scored = (
            Span(self.all[verdict.index].start, self.all[verdict.index].end, verdict.relevance)
            for verdict in verdicts
            if verdict.index in self.spans and verdict.relevance >= wanted.threshold
        )
        return tuple(sorted(scored, key=lambda span: (-span.score, span.start))[: wanted.most])
