"""Cuts the documents of a call into pieces and encodes these, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from retrieval.sentences import sentence_spans
from service.engine import Encoder, Limits, Prefix, Rest
from service.errors import BodyTooLarge, PassageTooLong
from service.passages.pieces import Kind, Piece
from service.passages.windows import Place, read_part, windows

_STEP_PIECES = 256
_STEP_CHARACTERS = 262_144
_MOST_TOKENS_OF_A_CHARACTER = 4  # its bytes
_SLACK_TOKENS = 8  # a window that is encoded may have some more than were counted


@dataclass(frozen=True, slots=True)
class ChunkSize:
    """Tokens of a window, and of what of it is in the next one again, at most."""

    tokens: int
    overlap: int


@dataclass(frozen=True, slots=True)
class Cutting:
    """How documents are read in pieces. `chunks` None: each as one passage; `most_chunks`: of a document, the others
    are left out (None: all are read); `spans`: its sentences are scored too. A call may have `most_pieces` in all."""

    chunks: ChunkSize | None
    most_chunks: int | None
    spans: bool
    most_pieces: int


@dataclass(frozen=True, slots=True)
class Step:
    """Pieces with their ids. `cut`: documents of which something is not read."""

    pieces: Sequence[Piece]
    rests: Sequence[Rest]
    cut: Sequence[int] = ()


class Cutter:
    """Cuts the passages of one call, for prompts that begin with `prefix`."""

    def __init__(self, encoder: Encoder, prefix: Prefix, limits: Limits, cutting: Cutting) -> None:
        self._encoder = encoder
        self._prefix = prefix
        self._limits = limits
        self._cutting = cutting
        self._cut: list[int] = []

    def steps(self, passages: Sequence[str]) -> Iterator[Step]:
        """All pieces, in steps of about the same work. To be gone through in a thread.

        Raise BodyTooLarge for more pieces than a call may have, and PassageTooLong for a passage that would be cut
        where that is forbidden.
        """
        pieces: list[Piece] = []
        texts: list[str] = []
        characters = 0
        for made, piece in enumerate(self._pieces(passages), 1):
            if made > self._cutting.most_pieces:
                raise BodyTooLarge(
                    f"The documents come to more than {self._cutting.most_pieces} parts that are scored one by one, "
                    "which is more than this server queues; send fewer or shorter ones."
                )
            pieces.append(piece)
            texts.append(passages[piece.document][piece.start : piece.end])
            characters += len(texts[-1])
            if len(pieces) >= _STEP_PIECES or characters >= _STEP_CHARACTERS:
                yield self._step(pieces, texts)
                pieces, texts, characters = [], [], 0
        yield self._step(pieces, texts)

    def _step(self, pieces: Sequence[Piece], texts: Sequence[str]) -> Step:
        limits = self._limits if self._cutting.chunks is None else replace(self._limits, passage_tokens=None)
        cut, self._cut = self._cut, []
        rests = self._encoder.rests(self._prefix, texts, limits) if texts else []
        if not self._limits.truncate:
            for piece, rest in zip(pieces, rests, strict=True):
                if rest.truncated and piece.kind is Kind.WHOLE:
                    raise PassageTooLong(piece.document, self._most_read() or self._prefix.room)
        return Step(pieces, rests, cut)

    def _pieces(self, passages: Sequence[str]) -> Iterator[Piece]:
        for document, passage in enumerate(passages):
            place = self._read(document, passage)
            if self._cutting.chunks is None:
                yield Piece(document, 0, len(passage), Kind.WHOLE)
            else:
                yield from self._chunks(document, passage, place, self._cutting.chunks)
            if self._cutting.spans:
                yield from (Piece(document, *span, Kind.SPAN) for span in sentence_spans(passage, *place))

    def _chunks(self, document: int, passage: str, place: Place, size: ChunkSize) -> Iterator[Piece]:
        tokens = max(1, min(size.tokens, self._prefix.room - _SLACK_TOKENS))
        found = windows(passage, place, self._encoder.token_ends, tokens, min(size.overlap, tokens - 1))
        for number, (start, end) in enumerate(found):
            if number == self._cutting.most_chunks:
                self._cut.append(document)
                return
            yield Piece(document, start, end, Kind.CHUNK)

    def _read(self, document: int, passage: str) -> Place:
        """What of a passage is read."""
        most = self._most_read()
        if most is None or len(passage) * _MOST_TOKENS_OF_A_CHARACTER <= most:
            return 0, len(passage)
        place = read_part(passage, self._encoder.token_ends, most, cut_left=self._limits.cut_left)
        if place != (0, len(passage)) and self._cutting.chunks is not None:
            if not self._limits.truncate:
                raise PassageTooLong(document, most)
            self._cut.append(document)
        return place

    def _most_read(self) -> int | None:
        """How many tokens of a passage; None: all of them, where it is read in windows."""
        most = self._limits.passage_tokens
        if self._cutting.chunks is not None:
            return most
        return self._prefix.room if most is None else min(most, self._prefix.room)
