"""A prompt on its way through a causal engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from contract.reasoning import Reader, ReasoningResult, Status
from service.engine import Begun, Completion, Prompt
from service.engines.submission import Submission


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
