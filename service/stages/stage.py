"""What a stage is, and what it is told of who asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from service.errors import EngineFailed, PassageTooLong, ServiceError
from service.planning import Plan
from service.ranking import Key, Listener, Ranked, ReasoningPiece, Timings, Verdict
from service.scheduling.admission import Leaving, never

Judged = tuple[list[Verdict], Timings]
"""The verdicts on a call's documents, in their order, and what they took."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks. `received` is the monotonic instant of the last body byte; `leaves` returns once the client has left;
    `listener` is told of verdicts and reasoning as they come."""

    key: Key
    received: float
    leaves: Leaving = never
    listener: Listener | None = None


class Stage(Protocol):
    """Reaches verdicts on the documents of planned calls."""

    async def judge(self, plan: Plan, asking: Asking) -> Judged:
        """Raises the errors of `service.errors`, ClientLeft among them where the client leaves first; that and
        cancelling the task free the engine."""
        ...

    async def judge_all(self, plans: Mapping[int, Plan], asking: Asking) -> dict[int, Judged | ServiceError]:
        """The calls of a batch, by their places: admitted together, fair as one. Each has verdicts or an error of its
        own: a text that is too long, a document that the engine fails on. Raises what ends them all together."""
        ...


@dataclass(frozen=True, slots=True)
class PartListener:
    """Tells a call's listener of a part of its documents, by their `indices` in the whole call."""

    listener: Listener
    indices: Sequence[int]

    def reasoned(self, piece: ReasoningPiece) -> None:
        """See `Listener`."""
        self.listener.reasoned(replace(piece, index=self.indices[piece.index]))

    def ranked(self, ranked: Ranked) -> None:
        """See `Listener`."""
        self.listener.ranked(replace(ranked, index=self.indices[ranked.index]))


@dataclass(frozen=True, slots=True)
class ReasoningListener:
    """Tells a listener of reasoning alone, where verdicts are not final before all are known."""

    listener: Listener

    def reasoned(self, piece: ReasoningPiece) -> None:
        """See `Listener`."""
        self.listener.reasoned(piece)

    def ranked(self, ranked: Ranked) -> None:
        """Told at the end."""


def of_call(error: ServiceError, indices: Sequence[int]) -> ServiceError:
    """The error about a part of a call's documents with their indices in the whole call."""
    if isinstance(error, PassageTooLong):
        return error.of_call(indices[error.index])
    return error.at(indices) if isinstance(error, EngineFailed) else error
