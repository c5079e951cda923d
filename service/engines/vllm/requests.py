"""What the scheduler asks of the engine's library, and a request while it is there.

Reasoning and the answers behind it may take two requests of the library: the names of both begin with one number.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from contract.reasoning import PieceReader, Status
from service.engine import PartialOutput
from service.engines.causal.requests import Request

# The library's priorities: a request for answers goes before new ones of the same class, and those before the next.
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
        """The probability of all of them together; None where they are logits."""
        return None if self.logits else min(1.0, math.fsum(map(math.exp, self.values)))


@dataclass(frozen=True, slots=True)
class Generation:
    """What was written for a request so far; the model may have written on behind its end-of-think tag.

    `ids` leave out what the prompt held. `cached` tokens of the prompt were not computed again. `finished`: no more
    comes. `answers`, once finished: the log-probabilities of the answer tokens in the place of each of `ids`.
    """

    ids: Sequence[int]
    cached: int
    finished: bool = False
    answers: Sequence[tuple[float, ...]] = ()

    def answers_after(self, ids: Sequence[int]) -> AnswerLogprobs | None:
        """The answers in the place behind `ids`, if the model wrote these and went on: those that a request for the
        answers after them would read."""
        count = len(ids)
        if count >= len(self.answers) or list(self.ids[:count]) != list(ids):
            return None
        return AnswerLogprobs(self.answers[count], self.cached)


@dataclass(frozen=True, slots=True)
class RequestParams:
    """Names a request of the library and says where it runs and which tokens' log-probabilities it reads.

    Lower `priority` is scheduled first; `rank`: the replica of the model.
    """

    name: str
    priority: int
    rank: int | None
    answers: tuple[int, ...]


class Client(Protocol):
    """`read_answers` and `write` raise EngineDead when nothing can be computed any more, and whatever the library
    raises for one request."""

    async def read_answers(self, params: RequestParams, ids: Sequence[int]) -> AnswerLogprobs | None:
        """Read the answers after `ids`; None when the request was aborted."""
        ...

    def write(
        self, params: RequestParams, prompt: Sequence[int], budget: int, continued: Sequence[int]
    ) -> AsyncGenerator[Generation]:
        """Let the model write up to `budget` tokens, through the answer behind its end-of-think tag or to its end.

        Yields at the first token, now and then, and at the end, also when it was aborted. `continued`: the reasoning
        at the end of `prompt`.
        """
        ...

    async def abort(self, names: Sequence[str]) -> None:
        """Stop requests; one that is just being submitted may be missed."""
        ...


@dataclass(eq=False, slots=True)
class RunningRequest:
    """A request in vLLM: what it may still cost, and why its reasoning must end.

    `uncomputed`: tokens of its prompt, until they are computed. `rank`: the replica that both its requests go to.
    `pieces`: where its reasoning is told as it is written. `submitted`: the library has its first request. `begun`: the
    first token of its reasoning is there. `ended_by`: why its reasoning is ended from outside. `answering`: the tokens
    of its request for answers, once that is put. `given_up`: nobody waits for it any more.
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
        """Given up: whatever runs for it. Else only its reasoning, until its answers are asked for."""
        if self.given_up:
            return [self.reasoning_name, self.answers_name]
        return [] if self.answering else [self.reasoning_name]

    def tell(self, text: str, tokens: int) -> None:
        """Pass on a piece of its reasoning, of which so many tokens are written."""
        if text:
            self.request.submission.deliver([PartialOutput(self.request.index, text, tokens)])

    def reasoning_params(self) -> RequestParams:
        return self._params(self.reasoning_name, self._priority)

    def answers_params(self) -> RequestParams:
        """Answers behind reasoning go before new requests of their class."""
        behind_reasoning = bool(self.request.budget)
        return self._params(self.answers_name, self._priority - behind_reasoning)

    @property
    def _priority(self) -> int:
        return _PRIORITIES_PER_CLASS * self.request.priority

    def _params(self, name: str, priority: int) -> RequestParams:
        return RequestParams(name, priority, self.rank, self.request.prompt.answers)
