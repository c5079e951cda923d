"""A prompt on its way through a causal engine, and the mailbox that returns its outputs to the caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field

from contract.reasoning import Reader, ReasoningResult, Status
from service.engine import Begun, Completion, Output, Prompt
from service.errors import EngineDead, EngineFailed


@dataclass(frozen=True, slots=True)
class _Failure:
    """Prompts that got no completion, and why."""

    indices: tuple[int, ...]
    reason: str


class Submission:
    """The prompts of one `Engine.submit`. Built on the event loop; another thread may `deliver`, `fail` and `die`."""

    def __init__(self, count: int) -> None:
        self.cancelled = False
        self._left = count
        self._loop = asyncio.get_running_loop()
        self.context = copy_context()  # of the call, for what is logged on its documents
        self._mail: asyncio.Queue[Sequence[Output] | _Failure | EngineDead] = asyncio.Queue()

    def deliver(self, outputs: Sequence[Output]) -> None:
        self._post(outputs)

    def fail(self, indices: Sequence[int], reason: str) -> None:
        self._post(_Failure(tuple(indices), reason))

    def die(self, error: EngineDead) -> None:
        self._post(error)

    async def outputs(self) -> AsyncGenerator[Output]:
        """Every output as it comes; at the end EngineFailed if some prompts got none. Raise EngineDead at once."""
        failures: list[_Failure] = []
        while self._left:
            mail = await self._mail.get()
            if isinstance(mail, EngineDead):
                raise mail
            if isinstance(mail, _Failure):
                self._left -= len(mail.indices)
                failures.append(mail)
                continue
            for output in mail:
                self._left -= isinstance(output, Completion)
                yield output
        if failures:
            indices = sorted(index for failure in failures for index in failure.indices)
            raise EngineFailed(f"The engine failed on {len(indices)} passages: {failures[0].reason}", indices)

    def _post(self, mail: Sequence[Output] | _Failure | EngineDead) -> None:
        if self.cancelled:
            return
        try:
            self._loop.call_soon_threadsafe(self._mail.put_nowait, mail)
        except RuntimeError:  # the loop was closed: nobody waits any more
            self.cancelled = True


@dataclass(eq=False, slots=True)
class Request:
    """A prompt as an engine processes it: `prefix`, then `rest`, which includes any reasoning that the prompt
    continues.

    `prefix` is hashable, and the same object for all requests of a submission that share it. `closing` are the ids to
    append to `rest` before the answers are read when no reasoning is generated: the end-of-think tag, or () after one
    that the model wrote. `budget` is the number of tokens that may still be generated, or 0. `continued` is the
    reasoning already in the prompt. `ended_by` is the reason why requested reasoning is not generated. `done` tokens of
    `rest` are computed; `prefix_computed` tokens of the prefix were computed for this request, the others came from the
    cache.
    """

    submission: Submission
    index: int
    prompt: Prompt
    prefix: tuple[int, ...]
    rest: Sequence[int]
    closing: tuple[int, ...]
    budget: int
    continued: ReasoningResult | None = None
    ended_by: Status | None = None
    done: int = field(default=0, init=False)
    prefix_computed: int = field(default=0, init=False)

    @property
    def left(self) -> int:
        """Tokens after the prefix that are not computed yet."""
        return len(self.rest) - self.done

    @property
    def priority(self) -> int:
        """0 when a deadline is near, otherwise the prompt's priority."""
        return 0 if self.ended_by is Status.DEADLINE else self.prompt.priority

    @property
    def deadline(self) -> float | None:
        return self.prompt.deadline

    def end_before_reasoning(self, status: Status) -> None:
        """Reads the answers immediately, because no reasoning can be generated."""
        self.budget, self.ended_by = 0, status

    def begun(self) -> Begun:
        return Begun(self.index)

    def completion(
        self, answers: Sequence[float], mass: float | None = None, reasoning: ReasoningResult | None = None
    ) -> Completion:
        """`reasoning` is all of it, including what the prompt continued; None when nothing was generated for this
        request."""
        cached = max(0, len(self.prefix) - self.prefix_computed)  # the prefix may have been computed twice
        reasoning = reasoning or self.continued
        if reasoning is None:
            text = "" if self.prompt.budget else None
            status = self.ended_by or Status.COMPLETE
            return Completion(self.index, tuple(answers), mass, status, text, cached_tokens=cached)
        return Completion(
            index=self.index,
            answers=tuple(answers),
            mass=mass,
            status=self.ended_by or reasoning.status,
            reasoning=reasoning.text,
            reasoning_tokens=reasoning.tokens,
            written=reasoning.written,
            cached_tokens=cached,
        )


def requests_of(
    submission: Submission, prompts: Sequence[Prompt], close: Sequence[int], reader: Reader
) -> list[Request]:
    """The requests of prompts that were submitted together. `close` are the ids appended to reasoning.

    When a prompt continues reasoning that the model has already ended, nothing is left to generate.
    """
    prefixes: dict[int, tuple[int, ...]] = {}  # by id(): all prompts of a call share one prefix object
    made = []
    for index, prompt in enumerate(prompts):
        prefix = prefixes.setdefault(id(prompt.prefix), tuple(prompt.prefix))
        if not prompt.written:
            closing = (*close, *prompt.behind)
            made.append(Request(submission, index, prompt, prefix, prompt.rest, closing, prompt.budget))
            continue
        continued = reader.read(prompt.written)
        closing = (*continued.ids[len(continued.written) :], *prompt.behind)
        ended = continued.status is Status.COMPLETE
        rest = [*prompt.rest, *continued.written]
        budget = 0 if ended else prompt.budget
        made.append(Request(submission, index, prompt, prefix, rest, closing, budget, continued))
    return made
