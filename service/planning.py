"""What a call gets when it does not ask, and how it is to be ranked."""

from __future__ import annotations

from dataclasses import dataclass, field

from service.engine import Limits, Scoring
from service.passages.cutting import ChunkSize, Cutting
from service.ranking import LongDocuments, Mode, RerankCall, ScoreKind
from service.scheduling.work import Incoming
from service.strategies.choosing import Budgets, Chosen

_CHUNKS = ChunkSize(tokens=256, overlap=0)
SCORING = {Mode.DIRECT: Scoring.DIRECT, Mode.REASONING: Scoring.REASONING, Mode.ADAPTIVE: Scoring.REASONING}


def available_modes(scoring: frozenset[Scoring]) -> list[Mode]:
    """How calls can be ranked with an engine that scores so, in alphabetical order."""
    return sorted(mode for mode, needed in SCORING.items() if needed in scoring)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a call gets when it does not ask, and the most it may ask for. Times in seconds.

    `least_passage`: a call that has documents cut to fewer tokens is told so. `chunks`: windows of long documents;
    `most_pieces`: of all documents of a call together. `first_stage_weight`: of the caller's scores of documents.
    """

    model: str
    mode: Mode
    reasoning_tokens: int
    most_reasoning_tokens: int
    tokens_per_doc: int | None
    timeout: float
    least_passage: int = 0
    score_kind: ScoreKind = ScoreKind.OWN
    long_documents: LongDocuments = LongDocuments.TRUNCATE
    chunks: ChunkSize = _CHUNKS
    most_pieces: int = 20_000
    budgets: Budgets = field(default_factory=Budgets)
    first_stage_weight: float = 0.5

    def chunks_asked(self, call: RerankCall) -> bool:
        """Whether its documents are read in windows."""
        return (call.long_documents or self.long_documents) is LongDocuments.CHUNK

    def cutting(self, call: RerankCall) -> Cutting | None:
        """How its documents are read in pieces; None where each is one passage and no spans are asked for."""
        chunks = self.chunks if self.chunks_asked(call) else None
        if chunks is None and call.spans is None:
            return None
        return Cutting(chunks, call.max_chunks_per_doc, call.spans is not None, self.most_pieces)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a call is to be ranked: what it asked for, and the server's defaults where it did not."""

    call: RerankCall
    mode: Mode
    limits: Limits
    incoming: Incoming
    chosen: Chosen = field(default_factory=Chosen)
