"""Grades that begin alike are read at several places: an engine around an engine that asks for what is missing.

A prompt's first answers come from the engine as it is. Behind them the same prompt, its reasoning as it was written and
the ids of each further place go through it again; of these it finds all but the last few in its cache.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from contract.formats.grades import Read
from service.engine import Capabilities, Completion, Encoder, Engine, Health, Output, Prompt, Series
from service.errors import EngineFailed


class SeveralReads:
    """A `service.engine.Engine` whose completions hold the answers of all reads of the encoder's `reading`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._further = engine.encoder.reading.reads[1:]

    @property
    def capabilities(self) -> Capabilities:
        return self._engine.capabilities

    @property
    def encoder(self) -> Encoder:
        return self._engine.encoder

    @property
    def metrics(self) -> Sequence[Series]:
        return self._engine.metrics

    async def submit(self, prompts: Sequence[Prompt]) -> AsyncGenerator[Output]:
        """See `service.engine.Engine.submit`."""
        first: dict[int, Completion] = {}
        failure: EngineFailed | None = None
        async with aclosing(self._engine.submit(prompts)) as outputs:
            try:
                async for output in outputs:
                    if isinstance(output, Completion):
                        first[output.index] = output
                    else:
                        yield output
            except EngineFailed as error:  # of some; the others go on
                failure = error
        further, failed = await self._read_further(prompts, first)
        for index, completion in first.items():
            if index in further:
                yield replace(completion, answers=(*completion.answers, *further[index]))
        if failure is not None or failed:
            indices = sorted({*failed, *(failure.indices if failure else ())})
            raise EngineFailed(failure.message if failure else f"The engine failed on {len(failed)} grades.", indices)

    async def health(self) -> Health:
        return await self._engine.health()

    async def close(self) -> None:
        await self._engine.close()

    async def _read_further(
        self, prompts: Sequence[Prompt], first: dict[int, Completion]
    ) -> tuple[dict[int, list[float]], set[int]]:
        """The further answers of each prompt, by its index, and the indices of those that failed."""
        asked = [(index, number) for index in first for number in range(len(self._further))]
        again = [_again(prompts[index], first[index], self._further[number]) for index, number in asked]
        found: dict[tuple[int, int], Sequence[float]] = {}
        if again:
            async with aclosing(self._engine.submit(again)) as outputs:
                try:
                    async for output in outputs:
                        if isinstance(output, Completion):
                            found[asked[output.index]] = output.answers
                except EngineFailed:
                    pass  # what is missing is seen below
        failed = {index for index, number in asked if (index, number) not in found}
        whole = [index for index in first if index not in failed]
        return {i: [v for n in range(len(self._further)) for v in found[i, n]] for i in whole}, failed


def _again(prompt: Prompt, completion: Completion, read: Read) -> Prompt:
    written = completion.written or prompt.written
    return replace(prompt, answers=read.answers, behind=read.behind, written=written, budget=0, stream=False)
