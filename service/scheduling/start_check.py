"""One fixed pair of passages, scored at start: does the model tell a plain answer from a passage about something else,
and is its probability on the words that are read? A wrong prompt, wrong words or a checkpoint that was never trained to
rerank show here and nowhere else: scores look fine, and rank at random.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from service.engine import Completion, Engine, Limits, Prompt
from service.errors import EngineFailed, UnfitModelError

QUERY = "What is the treatment for influenza?"
RELEVANT = "Influenza is treated with rest, fluids and antiviral drugs."
OTHER = "The first public railway to use steam opened between Stockton and Darlington in 1825."
LEAST_MASS = 0.1

_log = logging.getLogger("limrank.start_check")


@dataclass(frozen=True, slots=True)
class StartResult:
    """Raw scores of both passages before any temperature, and the smaller `label_mass` of the two."""

    relevant: float
    other: float
    label_mass: float | None

    @property
    def problems(self) -> list[str]:
        """Sentences; none where all is as it should be."""
        found = []
        if not self.relevant > self.other:
            found.append(
                f"A passage that answers {QUERY!r} scores {self.relevant:.4g} and one about railways {self.other:.4g}: "
                "the prompt or the answer words are not those the model was trained with, or it is no reranker."
            )
        if self.label_mass is not None and self.label_mass < LEAST_MASS:
            found.append(
                f"Only {self.label_mass:.2%} of the model's probability is on the words that are read as its answer: "
                "the prompt or the words are not those the model was trained with."
            )
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "passed": not self.problems,
            "relevant_score": self.relevant,
            "other_score": self.other,
            "label_mass": self.label_mass,
            "problems": self.problems,
        }


class StartCheck:
    """`result` is None until `run` has ended."""

    def __init__(self, engine: Engine, *, strict: bool) -> None:
        """`strict`: a model that does not pass must not be served."""
        self._engine = engine
        self._strict = strict
        self.result: StartResult | None = None

    @property
    def failed(self) -> bool:
        return self.result is not None and bool(self.result.problems)

    async def run(self) -> None:
        """Score both passages and log what is wrong. Raises UnfitModelError where that is to end the start, and the
        engine's errors. Does nothing the second time."""
        if self.result is not None:
            return
        self.result = await _scored(self._engine)
        for problem in self.result.problems:
            _log.warning("model_suspect", extra={"reason": problem})
        if self._strict and self.result.problems:
            raise UnfitModelError(
                f"{' '.join(self.result.problems)} State the right one with --format, or leave --strict-model out."
            )


async def _scored(engine: Engine) -> StartResult:
    prompts = _prompts(engine)
    completions: dict[int, Completion] = {}
    async with aclosing(engine.submit(prompts)) as outputs:
        async for output in outputs:
            if isinstance(output, Completion):
                completions[output.index] = output
    if len(completions) != len(prompts):
        raise EngineFailed("The engine did not score the passages of the start check.")
    reading = engine.encoder.reading
    scores = [reading.score(completions[index].answers, 1.0).raw for index in range(len(prompts))]
    masses = [each.mass for each in completions.values() if each.mass is not None]
    return StartResult(scores[0], scores[1], min(masses) if masses else None)


def _prompts(engine: Engine) -> Sequence[Prompt]:
    encoder = engine.encoder
    prefix = encoder.prefix(QUERY, None, 0)
    rests = encoder.rests(prefix, [RELEVANT, OTHER], Limits())
    return [
        Prompt(
            call="start", prefix=prefix.ids, rest=rest.ids, answers=encoder.answers, second=prefix.second, priority=0
        )
        for rest in rests
    ]
