"""An engine around an engine for grades that need several reads: it submits the missing reads as further prompts.

The first answers of a prompt come from the inner engine. For each further read the same prompt is submitted again, with
its reasoning as generated and the ids of that read; all but the last few of its tokens are in the engine's cache.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from contract.formats.grades import Read
from service.engine import Capabilities, Completion, Encoder, Engine, Health, Output, Prompt, Series
from service.errors import EngineFailed


class SeveralReads:
    """A `service.engine.Engine` whose completions contain the answers of all reads of the encoder's `reading`."""

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
            except EngineFailed as error:  # only some prompts failed
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
                    pass  # missing answers are handled below
        failed = {index for index, number in asked if (index, number) not in found}
        whole = [index for index in first if index not in failed]
        return {i: [v for n in range(len(self._further)) for v in found[i, n]] for i in whole}, failed


def _again(prompt: Prompt, completion: Completion, read: Read) -> Prompt:
    written = completion.written or prompt.written
    return replace(prompt, answers=read.answers, behind=read.behind, written=written, budget=0, stream=False)
