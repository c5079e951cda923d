"""What the scheduler asks of the engine's library: the two kinds of request that a document becomes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Words:
    """Log-probabilities of the two verdict words after some ids; `cached` of these ids were not computed again."""

    true: float
    false: float
    cached: int


@dataclass(frozen=True, slots=True)
class Written:
    """A trace so far, and what the model wrote behind its close. `cached` tokens of its prompt were not computed again.

    `words`, at the end: log-probabilities (true, false) of the two verdict words in the place of each of `ids`.
    """

    ids: Sequence[int]
    cached: int
    words: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """Names a request and says where it runs. Lower `priority` is scheduled first; `rank`: the engine's replica."""

    name: str
    priority: int
    rank: int | None


class Requests(Protocol):
    """Both raise EngineDead when nothing can be computed any more, and what the library raises for one request."""

    async def words(self, asked: Asked, ids: Sequence[int]) -> Words | None:
        """Read the verdict after `ids`; None when the request was aborted."""
        ...

    def trace(self, asked: Asked, prompt: Sequence[int], budget: int) -> AsyncGenerator[Written]:
        """Let the model write up to `budget` tokens, through the verdict behind its close or to its end; yields at the
        first token, now and then, and at the end, also when it was aborted."""
        ...

    async def abort(self, names: Sequence[str]) -> None:
        """Stop requests; one that is just being submitted may be missed."""
        ...
