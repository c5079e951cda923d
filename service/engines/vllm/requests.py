"""The interface between the scheduler and the engine's library, and the state of a request in it.

Reasoning and the answers after it may take two requests of the library, whose names begin with the same number.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from contract.reasoning import PieceReader, Status
from service.engine import PartialOutput
from service.engines.causal.requests import Request

# The library's priorities: an answer request goes before new ones of its class, and those before the next class.
_PRIORITIES_PER_CLASS = 10


@dataclass(frozen=True, slots=True)
class AnswerLogprobs:
    """Log-probabilities (or `logits`) of the answer tokens after some ids; `cached` of the ids were not computed
    again."""

    values: tuple[float, ...]
    cached: int
    logits: bool = False

    @property
    def mass(self) -> float | None:
        """The total probability of the answers; None for logits."""
        return None if self.logits else min(1.0, math.fsum(map(math.exp, self.values)))


@dataclass(frozen=True, slots=True)
class Generation:
    """The output generated for a request so far; the model may have continued after its end-of-think tag.

    `ids` exclude the prompt. `cached` tokens of the prompt were not computed again. `finished`: no more follows.
    `answers`, once finished, are the log-probabilities of the answer tokens at the position of each of `ids`.
    """

    ids: Sequence[int]
    cached: int
    finished: bool = False
    answers: Sequence[tuple[float, ...]] = ()

    def answers_after(self, ids: Sequence[int]) -> AnswerLogprobs | None:
        """The answers at the position after `ids`, if the model generated these and continued; a separate request for
        the answers would read the same values."""
        count = len(ids)
        if count >= len(self.answers) or list(self.ids[:count]) != list(ids):
            return None
        return AnswerLogprobs(self.answers[count], self.cached)


@dataclass(frozen=True, slots=True)
class RequestParams:
    """Names a request of the library, its replica, and the tokens whose log-probabilities it reads.

    Lower `priority` is scheduled first; `rank` is the replica of the model.
    """

    name: str
    priority: int
    rank: int | None
    answers: tuple[int, ...]


class Client(Protocol):
    """`read_answers` and `write` raise EngineDead when nothing can be computed any more, and whatever the library
    raises for one request."""

    async def read_answers(self, params: RequestParams, ids: Sequence[int]) -> AnswerLogprobs | None:
        """Reads the answers after `ids`; None when the request was aborted."""
        ...

    def write(
        self, params: RequestParams, prompt: Sequence[int], budget: int, continued: Sequence[int]
    ) -> AsyncGenerator[Generation]:
        """Generates up to `budget` tokens, ending with the answer after the end-of-think tag or with an end of text.

        Yields at the first token, periodically, and at the end, also after an abort. `continued` is the reasoning at
        the end of `prompt`.
        """
        ...

    async def abort(self, names: Sequence[str]) -> None:
        """Aborts requests; one that is just being submitted may be missed."""
        ...


@dataclass(eq=False, slots=True)
class RunningRequest:
    """A request in vLLM: its remaining cost, and whether and why its reasoning must end.

    `uncomputed` are the tokens of its prompt, until they are computed. `rank` is the replica of both its requests.
    `pieces` receives its reasoning as it is generated. `submitted`: the library has its first request. `begun`: the
    first token of its reasoning has arrived. `ended_by` is the reason why its reasoning is ended from outside.
    `answering` is the number of tokens of its answer request, once submitted. `given_up`: nobody waits for it any more.
    """

    request: Request
    name: str
    uncomputed: int
    rank: int | None = None
    pieces: PieceReader | None = None
    submitted: bool = False
    begun: bool = False
    ended_by: Status | None = None
    answering: int = 0
    given_up: bool = False

    @property
    def writing(self) -> bool:
        """True while its reasoning may still be ended from outside."""
        return bool(self.request.budget) and not self.answering and self.ended_by is None and not self.given_up

    @property
    def reasoning_name(self) -> str:
        return f"{self.name}-reasoning"

    @property
    def answers_name(self) -> str:
        return f"{self.name}-answers"

    @property
    def names_to_abort(self) -> list[str]:
        """All its requests if given up; otherwise only its reasoning, until its answers are requested."""
        if self.given_up:
            return [self.reasoning_name, self.answers_name]
        return [] if self.answering else [self.reasoning_name]

    def tell(self, text: str, tokens: int) -> None:
        """Passes on a piece of its reasoning, of which `tokens` tokens exist so far."""
        if text:
            self.request.submission.deliver([PartialOutput(self.request.index, text, tokens)])

    def reasoning_params(self) -> RequestParams:
        return self._params(self.reasoning_name, self._priority)

    def answers_params(self) -> RequestParams:
        """Answers after reasoning go before new requests of their class."""
        behind_reasoning = bool(self.request.budget)
        return self._params(self.answers_name, self._priority - behind_reasoning)

    @property
    def _priority(self) -> int:
        return _PRIORITIES_PER_CLASS * self.request.priority

    def _params(self, name: str, priority: int) -> RequestParams:
        return RequestParams(name, priority, self.rank, self.request.prompt.answers)
